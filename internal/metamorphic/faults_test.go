package metamorphic

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"nave.dev/internal/object"
	"nave.dev/internal/spoke"
)

// forever is longer than any story's clock runs by itself.
const forever = 1000 * time.Hour

// faults are what happens to the spokes and the network, and what operators do.
var faults = map[string]verb{
	"settle": {24, func(w *world, n [3]int) string {
		if !w.settleable() {
			return ""
		}
		w.settle()
		return "everything is in place"
	}},
	"calm": {40, func(w *world, n [3]int) string {
		w.calm()
		return "nothing is written any more"
	}},
	"restart": {5, func(w *world, n [3]int) string {
		for len(w.runners) > 0 {
			w.end(0)
		}
		w.revive()
		return "the spoke is started anew"
	}},
	"crash": {8, func(w *world, n [3]int) string {
		after := 1 + n[0]%12
		w.writer().line.set(func(l *line) { l.fuse, l.late = after, n[1]%2 == 0 })
		return fmt.Sprintf("the spoke ends with its write %d from now, which takes effect: %v", after, n[1]%2 == 0)
	}},
	"fault": {6, func(w *world, n [3]int) string {
		after := 1 + n[0]%6
		w.writer().line.set(func(l *line) { l.fault, l.late = after, n[1]%2 == 0 })
		return fmt.Sprintf("write %d from now fails and takes effect: %v", after, n[1]%2 == 0)
	}},
	"down": {3, func(w *world, n [3]int) string {
		for _, r := range w.runners {
			r.line.set(func(l *line) { l.down = true })
		}
		return "the cluster is away"
	}},
	"up": {6, func(w *world, n [3]int) string {
		if !w.up() {
			return ""
		}
		return "the cluster is back"
	}},
	"cut": {4, func(w *world, n [3]int) string {
		for _, r := range w.runners {
			r.line.cut()
		}
		return "all watches end"
	}},
	"second": {2, func(w *world, n [3]int) string {
		if len(w.runners) > 1 {
			return ""
		}
		w.launch()
		return "a second spoke is started"
	}},
	"hand-over": {2, func(w *world, n [3]int) string {
		if len(w.runners) < 2 {
			return ""
		}
		w.end(n[0] % 2)
		return "one of two spokes is stopped"
	}},
	"lose-record": {3, func(w *world, n [3]int) string {
		err := w.client.CoreV1().Secrets(w.system).Delete(w.ctx, "nave-record", metav1.DeleteOptions{})
		if err != nil {
			return ""
		}
		w.lost = true
		w.thaw()
		if n[0]%2 == 0 {
			w.wait(2 * time.Minute)
			w.poke()
		}
		return "somebody deletes the cluster record"
	}},
	"old": {3, func(w *world, n [3]int) string {
		if len(w.older) == 0 || w.writer().State().Number < w.number {
			return "" // before the newest is accepted, an older one may be
		}
		old := w.older[n[0]%len(w.older)]
		for _, r := range w.runners {
			r.Assign(old)
		}
		if n[1]%2 == 0 {
			w.calm()
		}
		w.poke()
		return fmt.Sprintf("assignment %d comes again, and then the newest", old.Number)
	}},
	"pause": {3, func(w *world, n [3]int) string {
		pause := spoke.Pause{Until: time.Now().Add(time.Duration(w.ahead.Load())).Add(forever), Actor: "story"}
		if n[0]%3 > 0 {
			if pause.App = w.pick(n[1]); pause.App == "" {
				return ""
			}
		}
		if err := w.ask(func(ctx context.Context, r *runner) error { return r.Pause(ctx, pause) }); err != nil {
			w.unsure = w.unsure || !errors.Is(err, errDown)
			return ""
		}
		w.mu.Lock()
		w.law.paused[pause.App] = true
		w.mu.Unlock()
		return fmt.Sprintf("%q is paused", pause.App)
	}},
	"unpause": {4, func(w *world, n [3]int) string {
		if !w.paused() && !w.unsure {
			return ""
		}
		w.thaw()
		w.unsure = false
		w.wait(2 * forever)
		w.poke()
		return "all pauses run out"
	}},
	"refuse": {6, func(w *world, n [3]int) string {
		answer := []int{
			http.StatusTooManyRequests, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable,
			http.StatusGatewayTimeout, http.StatusForbidden, http.StatusUnauthorized,
		}[n[0]%7]
		w.writer().line.set(func(l *line) { l.refused, l.answer = 1+n[1]%12, answer })
		return fmt.Sprintf("the next %d requests are answered %d", 1+n[1]%12, answer)
	}},
	"rewind": {4, func(w *world, n [3]int) string {
		secrets := w.client.CoreV1().Secrets(w.system)
		record, err := secrets.Get(w.ctx, "nave-record", metav1.GetOptions{})
		if err != nil {
			return ""
		}
		if w.backup == nil {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.backup = &backup{record.Data, maps.Clone(w.law.confirmed)}
			return "the cluster record is saved"
		}
		record.Data = w.backup.record
		if _, err := secrets.Update(w.ctx, record, metav1.UpdateOptions{FieldManager: "restore"}); err != nil {
			return ""
		}
		w.lost, w.unsure = true, true // what came since is forgotten
		w.thaw()
		w.mu.Lock()
		maps.Copy(w.law.confirmed, w.backup.confirmed)
		w.mu.Unlock()
		w.backup = nil
		if n[0]%2 == 0 {
			w.wait(2 * time.Minute)
			w.poke()
		}
		return "the cluster record is as it was saved"
	}},
	"confirm": {4, func(w *world, n [3]int) string {
		if !w.confirm() {
			return ""
		}
		return "what is held is confirmed"
	}},
	"clock": {4, func(w *world, n [3]int) string {
		d := []time.Duration{time.Second, 5 * time.Second, 40 * time.Second, 2 * time.Minute}[n[0]%4]
		w.wait(d)
		w.poke()
		return fmt.Sprintf("%s pass", d)
	}},
}

// backup is the cluster record as it was, and what had been confirmed then.
type backup struct {
	record    map[string][]byte
	confirmed map[object.ID]bool
}

// up has the network return, and reports whether it was away.
func (w *world) up() bool {
	was := false
	for _, r := range w.runners {
		if _, down := r.line.get(); down {
			was = true
			r.line.set(func(l *line) { l.down = false })
			r.Reach(r.config)
		}
	}
	return was
}

// served has the API server refuse nothing any more, and the spokes try again now.
func (w *world) served() {
	for _, r := range w.runners {
		refused := 0
		r.line.set(func(l *line) { refused, l.refused, l.answer = l.answer, 0, 0 })
		if refused != 0 {
			r.Reach(r.config)
		}
	}
}

// ask has the spoke that writes do something, if there is one now.
func (w *world) ask(do func(context.Context, *runner) error) error {
	ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
	defer cancel()
	r := w.writer()
	if dead, down := r.line.get(); dead || down || !r.State().Writer {
		return errDown
	}
	return do(ctx, r)
}

// thaw ends all pauses in the law, before they end in the cluster.
func (w *world) thaw() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.law.paused)
}

func (w *world) paused() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.law.paused) > 0
}

// confirm confirms all deletions that are held, each of which must be of
// something that a commit removed.
func (w *world) confirm() bool {
	done := false
	r := w.writer()
	for _, a := range r.State().Apps {
		if a.Held == nil {
			continue
		}
		w.mu.Lock()
		for _, id := range a.Held.Objects {
			if !w.law.removable[id] {
				w.accuse("%s asks to confirm the deletion of %s, which no commit removed", a.Name, id)
			}
			w.law.confirmed[id] = true
		}
		w.mu.Unlock()
		err := w.ask(func(ctx context.Context, r *runner) error { return r.Confirm(ctx, a.Held.Digest) })
		done = done || err == nil
	}
	return done
}
