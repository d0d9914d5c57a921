package metamorphic

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"nave.dev/internal/spoke"
	"nave.dev/internal/testenv"
)

var (
	firstSeed = flag.Uint64("seed", 1, "seed of the first random story")
	runs      = flag.Int("runs", 40, "how many random stories, each of the next seed")
	ops       = flag.Int("ops", 24, "how long a random story may be")
	at        = flag.Int("at", 12, "how many stories play at once")
	search    = flag.Duration("shrink", 3*time.Minute, "how long to look for a shorter story that fails")
)

func TestMain(m *testing.M) { testenv.Main(m) }

// TestKept plays the stories that found something.
func TestKept(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("finding stories: %v, %v", paths, err)
	}
	var stories []named
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		story, err := parse(string(text))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		stories = append(stories, named{strings.TrimSuffix(filepath.Base(path), ".txt"), story})
	}
	playAll(t, stories)
}

// TestRandom plays stories drawn from seeds.
func TestRandom(t *testing.T) {
	var stories []named
	for i := range *runs {
		seed := *firstSeed + uint64(i)
		stories = append(stories, named{fmt.Sprintf("seed %d", seed), draw(seed, *ops)})
	}
	playAll(t, stories)
}

// named is a story and what it is called.
type named struct {
	name  string
	story []op
}

// playAll plays stories, several at once, and makes those that fail short.
func playAll(t *testing.T, stories []named) {
	checker, err := spoke.NewChecker(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	env := testenv.New(t)
	todo := make(chan named)
	var group sync.WaitGroup
	for i := range *at {
		p := newPlace(t, env, checker, i)
		group.Go(func() {
			for n := range todo {
				p.try(t, n)
			}
		})
	}
	began := time.Now()
	for _, n := range stories {
		todo <- n
	}
	close(todo)
	group.Wait()
	t.Logf("%d stories in %s", len(stories), time.Since(began).Round(time.Second))
}

// try plays one story, and one that fails again and again, to find out with how
// little it does.
func (p *place) try(t *testing.T, n named) {
	told, accused := p.play(t.Context(), n.story)
	if len(accused) == 0 {
		return
	}
	t.Errorf("%s failed: %s\n%s", n.name, strings.Join(accused, "\n"), strings.Join(told, "\n"))
	end := time.Now().Add(*search)
	short := shrink(n.story, func(story []op) bool {
		for range 2 { // what depends on time may need luck
			said, why := p.play(t.Context(), story)
			if len(why) > 0 {
				told, accused = said, why
				return true
			}
		}
		return false
	}, func() bool { return time.Now().After(end) || t.Context().Err() != nil })
	t.Logf("%s fails with %d of %d ops: %s\n%s", n.name, len(short), len(n.story), strings.Join(accused, "\n"), strings.Join(told, "\n"))
}

// play plays a story. It returns it as it went, an op a line, and what was found
// to be wrong.
func (p *place) play(ctx context.Context, story []op) (told, accused []string) {
	ctx, cancel := context.WithTimeout(ctx, storyTime)
	defer cancel()
	w, err := p.begin(ctx)
	if err != nil {
		return nil, []string{err.Error()}
	}
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	group.Go(func() { w.control(ctx) })
	defer func() {
		for len(w.runners) > 0 {
			w.end(0)
		}
	}()
	for _, o := range story {
		w.revive()
		said := verbs[o.verb].do(w, o.n)
		w.fresh = w.fresh && (o.verb == "settle" || said == "")
		if said != "" {
			told = append(told, fmt.Sprintf("%-22s # %s", o, said))
		}
		if len(w.guilt()) > 0 {
			return told, w.guilt()
		}
	}
	w.finish()
	return told, w.guilt()
}
