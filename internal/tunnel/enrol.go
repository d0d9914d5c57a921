package tunnel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"nave.dev/internal/tunnel/authority"
)

// maxEnrolment bounds what one who has no certificate may send, in bytes.
const maxEnrolment = 16 << 10

// enrolment is what an agent asks with, for its first certificate or the next.
type enrolment struct {
	Token   string `json:"token,omitempty"` // of the first only
	Request string `json:"request"`         // PEM
}

// certified is the answer to it. Both are PEM.
type certified struct {
	Certificate string `json:"certificate"`
	Roots       string `json:"roots"`
}

// enrol gives the bearer of a token a certificate.
func (s *Server) enrol(w http.ResponseWriter, r *http.Request, c *conn) {
	if ok, _ := s.enrols.take(networkOf(c.address), time.Now()); !ok {
		s.refuse(c, "enrol", errors.New("too many tries from this address"))
		w.Header().Set("Retry-After", "60")
		http.Error(w, fmt.Sprintf("more than %d enrolments in a minute", s.o.Limits.Enrolments), http.StatusTooManyRequests)
		return
	}
	asked, request, err := s.readEnrolment(w, r)
	if err != nil {
		s.refuse(c, "enrol", err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := s.checkToken(r.Context(), asked.Token, request); err != nil {
		s.o.refuse(s.told, Refusal{Address: c.address, Claimed: request.Identity, Doing: "enrol", Reason: err})
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	if _, ok := s.certify(w, request); ok {
		s.o.Enrolled(request.Identity, c.address)
	}
}

// checkToken says why a token does not get a certificate for what was asked, or
// has it used up.
func (s *Server) checkToken(ctx context.Context, token string, request authority.Request) error {
	claims, err := s.o.Authority.Verify(token, s.o.Now())
	if err != nil {
		return err
	}
	if request.Identity != claims.Identity() {
		return fmt.Errorf("the token is for %s, not for %s", claims.Identity(), request.Identity)
	}
	if err := s.o.Accepts(request.Identity); err != nil {
		return err
	}
	sum := sha256.Sum256(request.Key)
	return s.o.Used(ctx, claims, hex.EncodeToString(sum[:]))
}

// renew gives an agent its next certificate, for the identity that it has.
func (s *Server) renew(w http.ResponseWriter, r *http.Request, c *conn) {
	_, request, err := s.readEnrolment(w, r)
	if err != nil {
		s.refuse(c, "renew", err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if request.Identity != *c.peer {
		err := fmt.Errorf("%s asks for the certificate of %s", c.peer, request.Identity)
		s.refuse(c, "renew", err)
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	// The connection has proven who is at its end, so it may go on with the new end.
	if expires, ok := s.certify(w, request); ok {
		c.expires.Store(expires.Unix())
	}
}

func (s *Server) readEnrolment(w http.ResponseWriter, r *http.Request) (asked enrolment, request authority.Request, err error) {
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.o.Limits.Handshake))
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEnrolment))
	if err == nil {
		err = json.Unmarshal(data, &asked)
	}
	if err != nil {
		return asked, request, fmt.Errorf("reading an enrolment: %w", err)
	}
	request, err = authority.ReadRequest([]byte(asked.Request))
	return asked, request, err
}

// certify answers with a certificate, and returns when it ends.
func (s *Server) certify(w http.ResponseWriter, request authority.Request) (expires time.Time, ok bool) {
	now := s.o.Now()
	certificate, err := s.o.Authority.Sign(request, s.o.Life, now)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return time.Time{}, false
	}
	w.Header().Set("Content-Type", "application/json")
	// An answer that is lost is asked for again, with the same key or on the next connection.
	json.NewEncoder(w).Encode(certified{Certificate: string(certificate), Roots: string(s.o.Authority.Roots())})
	return now.Add(s.o.Life), true
}
