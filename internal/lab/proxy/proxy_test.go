package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// echo serves connections that answer what they are told, and ends each answer
// when the question ends.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.Copy(conn, conn)
			}()
		}
	}()
	return listener.Addr().String()
}

func serve(t *testing.T, target string) (*Proxy, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	proxy := New(target)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- proxy.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return proxy, listener.Addr().String()
}

func dial(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	return conn.(*net.TCPConn)
}

func ask(t *testing.T, conn net.Conn, question string) {
	t.Helper()
	if _, err := conn.Write([]byte(question)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, len(question))
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != question {
		t.Fatalf("answer %q, %v; want %q", answer, err, question)
	}
}

// silent fails if anything arrives within a moment.
func silent(t *testing.T, conn net.Conn) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(150 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes, %v; want silence", n, err)
	}
	conn.SetDeadline(time.Now().Add(30 * time.Second))
}

func TestForwardsAndPassesOnTheEnd(t *testing.T) {
	_, address := serve(t, echo(t))
	conn := dial(t, address)
	big := strings.Repeat("0123456789abcdef", 1<<16)
	go func() {
		io.WriteString(conn, big)
		conn.CloseWrite()
	}()
	answer, err := io.ReadAll(conn)
	if err != nil || string(answer) != big {
		t.Errorf("%d bytes back, %v; want the same %d and then the end", len(answer), err, len(big))
	}
}

func TestPartitionHoldsAndHealingDelivers(t *testing.T) {
	proxy, address := serve(t, echo(t))
	old := dial(t, address)
	ask(t, old, "before")

	proxy.SetLink(Link{Partitioned: true})
	fresh := dial(t, address)
	for _, conn := range []net.Conn{old, fresh} {
		if _, err := conn.Write([]byte("during")); err != nil {
			t.Fatal(err)
		}
	}
	silent(t, old)
	silent(t, fresh)

	proxy.SetLink(Link{})
	for name, conn := range map[string]net.Conn{"old": old, "fresh": fresh} {
		answer := make([]byte, 6)
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "during" {
			t.Errorf("%s connection after healing: %q, %v", name, answer, err)
		}
	}
	ask(t, old, "after")
}

// TestPartitionOfOneDirection sends something while nothing comes back, and the other
// way round.
func TestPartitionOfOneDirection(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	proxy, address := serve(t, server.Addr().String())
	client := dial(t, address)
	far, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	far.SetDeadline(time.Now().Add(30 * time.Second))
	pass := func(from, to net.Conn, text string) {
		t.Helper()
		from.Write([]byte(text))
		got := make([]byte, len(text))
		if n, err := io.ReadFull(to, got); err != nil || string(got) != text {
			t.Fatalf("%q arrived, %v; want %q", got[:n], err, text)
		}
	}
	for _, c := range []struct {
		held       Direction
		free, shut [2]net.Conn // from, to
	}{{Down, [2]net.Conn{client, far}, [2]net.Conn{far, client}}, {Up, [2]net.Conn{far, client}, [2]net.Conn{client, far}}} {
		proxy.SetLink(Link{Partitioned: true, OneWay: c.held})
		c.shut[0].Write([]byte("held"))
		silent(t, c.shut[1])
		pass(c.free[0], c.free[1], "passes")
		proxy.SetLink(Link{})
		got := make([]byte, 4)
		if _, err := io.ReadFull(c.shut[1], got); err != nil || string(got) != "held" {
			t.Fatalf("%s: %q arrived after healing, %v", c.held, got, err)
		}
	}
}

func TestRateLimitsEachDirection(t *testing.T) {
	proxy, address := serve(t, echo(t))
	conn := dial(t, address)
	proxy.SetLink(Link{Rate: 100_000})
	began := time.Now()
	data := bytes.Repeat([]byte("x"), 100_000)
	go conn.Write(data)
	if _, err := io.ReadFull(conn, make([]byte, len(data))); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 800*time.Millisecond {
		t.Errorf("as many bytes as pass in a second took %s", took)
	}
}

func TestLatencyDelaysEachDirectionWithoutLimitingThroughput(t *testing.T) {
	proxy, address := serve(t, echo(t))
	conn := dial(t, address)
	proxy.SetLink(Link{Latency: 100 * time.Millisecond})
	began := time.Now()
	ask(t, conn, "ping")
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("a round trip took %s, want 200 ms or more", took)
	}
	// 64 chunks one after another would take 6.4 s each way.
	began = time.Now()
	data := bytes.Repeat([]byte("x"), 1<<20)
	go conn.Write(data)
	if _, err := io.ReadFull(conn, make([]byte, len(data))); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("1 MiB took %s: latency has become a limit on throughput", took)
	}
}

func TestServerAway(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := listener.Addr().String()
	listener.Close()
	_, address := serve(t, target)
	// The reset may come before the client has noticed that it is connected.
	conn, err := net.Dial("tcp", address)
	if err == nil {
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(30 * time.Second))
		_, err = conn.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reading from a server that is away: %v, want a reset connection", err)
	}
}

func TestGivenUpWhilePartitionedIsNotDelivered(t *testing.T) {
	arrivals, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { arrivals.Close() })
	proxy, address := serve(t, arrivals.Addr().String())
	proxy.SetLink(Link{Partitioned: true})
	gone := dial(t, address)
	if _, err := gone.Write([]byte("gone")); err != nil {
		t.Fatal(err)
	}
	gone.Close()
	patient := dial(t, address)
	if _, err := patient.Write([]byte("patient")); err != nil {
		t.Fatal(err)
	}
	silent(t, patient) // time enough for the first to be dropped
	proxy.SetLink(Link{})
	conn, err := arrivals.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	got := make([]byte, len("patient"))
	if n, err := io.ReadFull(conn, got); err != nil || string(got) != "patient" {
		t.Errorf("%q arrived, %v; want %q", got[:n], err, "patient")
	}
	arrivals.(*net.TCPListener).SetDeadline(time.Now().Add(150 * time.Millisecond))
	if conn, err := arrivals.Accept(); err == nil {
		conn.Close()
		t.Error("a connection whose client had given up was opened after healing")
	}
}

func TestStopsWhilePartitioned(t *testing.T) {
	proxy, address := serve(t, echo(t))
	conn := dial(t, address)
	ask(t, conn, "before")
	proxy.SetLink(Link{Partitioned: true})
	conn.Write([]byte("stuck"))
	silent(t, conn)
	// The clean-up of serve waits for Serve to return.
}
