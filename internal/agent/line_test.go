package agent

import (
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// line stands between an agent and its hub: it carries so many bytes a second in each
// direction, each so much later, and what is on it can be made to vanish.
type line struct {
	net.Listener
	to    string
	rate  int
	delay time.Duration

	work sync.WaitGroup
	mu   sync.Mutex
	open []*wire
}

// wire is one connection. What is cut goes on taking bytes, as a peer's kernel does
// that was never told.
type wire struct {
	agent, hub net.Conn
	cut        [2]atomic.Bool // to the hub, to the agent
}

const up, down = 0, 1

func newLine(t *testing.T, to string, rate int, delay time.Duration) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{Listener: listener, to: to, rate: rate, delay: delay}
	l.work.Go(l.accept)
	t.Cleanup(func() {
		listener.Close()
		l.breaks()
		l.work.Wait()
	})
	return l
}

func (l *line) accept() {
	for {
		agent, err := l.Accept()
		if err != nil {
			return
		}
		hub, err := net.Dial("tcp", l.to)
		if err != nil {
			agent.Close()
			continue
		}
		w := &wire{agent: agent, hub: hub}
		l.mu.Lock()
		l.open = append(l.open, w)
		l.mu.Unlock()
		l.carry(hub, agent, &w.cut[up])
		l.carry(agent, hub, &w.cut[down])
	}
}

// carry carries bytes in one direction, and the end of them.
func (l *line) carry(to, from net.Conn, cut *atomic.Bool) {
	type packet struct {
		data []byte
		due  time.Time
	}
	packets := make(chan packet, 1000)
	l.work.Go(func() {
		defer close(packets)
		for free := time.Now(); ; {
			data := make([]byte, 4096)
			n, err := from.Read(data)
			if err != nil {
				return
			}
			if now := time.Now(); free.Before(now) {
				free = now
			}
			if l.rate > 0 {
				free = free.Add(time.Duration(n) * time.Second / time.Duration(l.rate))
			}
			<-time.After(time.Until(free))
			packets <- packet{data[:n], free.Add(l.delay)}
		}
	})
	l.work.Go(func() {
		for p := range packets {
			<-time.After(time.Until(p.due))
			if !cut.Load() {
				to.Write(p.data)
			}
		}
		if !cut.Load() { // or the end vanishes as well
			to.Close()
		}
	})
}

// cuts has what is sent in some directions vanish, on the connections that there are.
func (l *line) cuts(directions ...int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.open {
		for i := range w.cut {
			if slices.Contains(directions, i) {
				w.cut[i].Store(true)
			}
		}
	}
}

// breaks closes the connections that there are.
func (l *line) breaks() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.open {
		w.agent.Close()
		w.hub.Close()
	}
	l.open = nil
}
