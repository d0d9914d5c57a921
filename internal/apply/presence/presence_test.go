package presence

import (
	"context"
	"errors"
	"testing"
	"time"

	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/object"
)

// lists is a cluster that has one ConfigMap, and says when it is asked for them.
type lists struct {
	asked     int
	meanwhile func()
	err       error
}

func (l *lists) Names(_ context.Context, _ cluster.Resource, each func(namespace, name string)) error {
	l.asked++
	each("shop", "there")
	l.meanwhile()
	return l.err
}

func TestMemory(t *testing.T) {
	id := func(name string) object.ID { return object.ID{Kind: "ConfigMap", Namespace: "shop", Name: name} }
	now := time.Now()
	c := &lists{meanwhile: func() {}}
	m := New(c, func() time.Time { return now })
	look := func() { m.Look(t.Context(), cluster.Resource{Kind: "ConfigMap"}) }
	steps := []struct {
		reason string
		do     func()
		asked  int
		absent []string // of those asked for
	}{
		{"nothing is known before the first look", func() {}, 0, nil},
		{"what the list lacks is absent, but for what was created while it was read", func() {
			c.meanwhile = func() { m.Appeared(id("meanwhile")) }
			look()
		}, 1, []string{"later"}},
		{"another look is soon enough to need no list", look, 1, []string{"later"}},
		{"what was created since is there", func() { m.Appeared(id("later")) }, 1, nil},
		{"after a while the list says nothing, and is read again", func() {
			now = now.Add(maxAge)
			if m.Absent(id("none")) {
				t.Error("an old list says that something is absent")
			}
			c.meanwhile = func() {}
			look()
		}, 2, []string{"meanwhile", "later"}},
		{"a clock set back has it read again", func() { now = now.Add(-time.Hour); look() }, 3, []string{"meanwhile", "later"}},
		{"a list that fails leaves nothing known", func() {
			now = now.Add(maxAge)
			c.err = errors.New("no")
			look()
		}, 4, nil},
	}
	for _, step := range steps {
		step.do()
		if c.asked != step.asked {
			t.Errorf("%s: %d lists, want %d", step.reason, c.asked, step.asked)
		}
		absent := map[string]bool{}
		for _, name := range step.absent {
			absent[name] = true
		}
		for _, name := range []string{"there", "meanwhile", "later"} {
			if got := m.Absent(id(name)); got != absent[name] {
				t.Errorf("%s: %s is absent: %t", step.reason, name, got)
			}
		}
	}
}
