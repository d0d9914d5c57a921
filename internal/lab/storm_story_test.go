package lab_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"nave.dev/internal/lab/process"
)

// What storm asks of a hub.
const (
	stormCalls = 5000
	stormRate  = 1000     // a second
	stormRoom  = 64 << 20 // bytes of memory that it may need more than before
)

// storm starts a hub that looks at Git on its own once an hour, pushes a commit,
// and calls the hub's webhook 1,000 times a second: every second call is signed as
// it must be and tells of a push to the repository, the others are forged. Each
// has its answer, the commit is found, and memory stays what it was.
func storm(ts *testscript.TestScript, _ bool, _ []string) {
	// The port is free again when the hub takes it, short of bad luck.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	address := listener.Addr().String()
	ts.Check(listener.Close())
	const secret = "it is a secret"
	file := filepath.Join(ts.Getenv("WORK"), "webhook-secret")
	ts.Check(os.WriteFile(file, []byte(secret), 0o600))
	startHub(ts, false, []string{"--interval", "1h", "--listen", address, "--webhook-secret-file", file})
	must(ts, "nave", "wait", "--timeout", "2m")
	commit(ts, false, []string{"to be found in the storm"})
	push(ts, false, nil)

	hub := process.Record{PID: ts.Value(hubKey{}).(*hubProcess).cmd.Process.Pid}
	before, err := hub.Usage()
	ts.Check(err)
	body := fmt.Sprintf(`{"url":%q}`, ts.Getenv("GIT")+"/fleet.git")
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	signature := "sha256=" + hex.EncodeToString(mac.Sum(nil))
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	defer client.CloseIdleConnections()
	var (
		group  sync.WaitGroup
		mu     sync.Mutex
		wrong  = map[string]int{}
		places = make(chan struct{}, 100)
		beat   = time.NewTicker(time.Second / 50)
	)
	defer beat.Stop()
	call := func(i int) {
		want, signed := http.StatusOK, signature
		if i%2 == 1 {
			want, signed = http.StatusUnauthorized, "sha256="+strings.Repeat("0", 64)
		}
		request, err := http.NewRequest(http.MethodPost, "http://"+address+"/webhook", strings.NewReader(body))
		if err == nil {
			request.Header.Set("Content-Type", "application/json")
			request.Header.Set("X-Nave-Signature", signed)
			var response *http.Response
			if response, err = client.Do(request); err == nil {
				io.Copy(io.Discard, response.Body)
				response.Body.Close()
				if response.StatusCode != want {
					err = fmt.Errorf("answered %s, want %d", response.Status, want)
				}
			}
		}
		if err != nil {
			mu.Lock()
			defer mu.Unlock()
			wrong[err.Error()]++
		}
	}
	began := time.Now()
	for i := range stormCalls {
		if i%(stormRate/50) == 0 {
			<-beat.C
		}
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			call(i)
		})
	}
	group.Wait()
	ts.Logf("%d calls in %s", stormCalls, time.Since(began).Round(time.Millisecond))
	if len(wrong) > 0 {
		ts.Fatalf("calls that were not answered as they must be: %v", wrong)
	}
	must(ts, "nave", "wait", "--revision", ts.Getenv("HEAD"), "--timeout", "1m")
	after, err := hub.Usage()
	ts.Check(err)
	ts.Logf("memory before %d MiB, after %d MiB", before.Anonymous>>20, after.Anonymous>>20)
	if after.Anonymous > before.Anonymous+stormRoom {
		ts.Fatalf("the hub's memory grew from %d to %d MiB", before.Anonymous>>20, after.Anonymous>>20)
	}
}
