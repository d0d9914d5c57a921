package pattern

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/yuin/gopher-lua/pm"
)

// show prints a match: the matched range and what was captured.
func show(source, subject string) string {
	p, err := Compile(source, true)
	if err != nil {
		return "error"
	}
	m := &Matcher{Pattern: p, Subject: subject, Work: func(int) {}}
	start, end, ok := m.Search(0)
	if !ok {
		return "none"
	}
	out := fmt.Sprint(start, end)
	for _, c := range m.Captures {
		if c.Position {
			out += fmt.Sprintf(" @%d", c.Start)
		} else {
			out += fmt.Sprintf(" %q", subject[c.Start:c.End])
		}
	}
	return out
}

func TestMatch(t *testing.T) {
	tests := []struct{ reason, pattern, subject, want string }{
		{"plain text", "lo", "hello", "3 5"},
		{"nothing matches nothing", "", "", "0 0"},
		{"the longest repetition", "a*", "aaab", "0 3"},
		{"the shortest repetition", "a-b", "aaab", "0 4"},
		{"at least one", "b+", "abbc", "1 3"},
		{"none or one", "ab?c", "xac", "1 3"},
		{"an anchor at the start", "^b", "ab", "none"},
		{"an anchor at the end", "b$", "bab", "2 3"},
		{"a dollar inside is itself", "a$b", "a$b", "0 3"},
		{"a timestamp in parts", "(%d+)-(%d+)T", "2024-05T", `0 8 "2024" "05"`},
		{"nested captures count from the left", "((a)(b))", "ab", `0 2 "ab" "a" "b"`},
		{"a position", "a()b", "ab", "0 2 @1"},
		{"a repeated capture", "(%a)%1", "abb", `1 3 "b"`},
		{"balanced brackets", "%b()", "f(a(b)c)d)", "1 8"},
		{"a frontier", "%f[%a]%a+", "12 word", "3 7"},
		{"a set with a range and a class", "[%d_x-z]+", "a1_yb", "1 4"},
		{"a set that starts with a bracket", "[]]", "a]", "1 2"},
		{"an inverted set", "[^%s]+", " ab ", "1 3"},
		{"a capital letter inverts a class", "%S+", " ab ", "1 3"},
		{"an escaped sign", "%.", "a.b", "1 2"},
		{"going back over captures", "(a*)(a)b", "aaab", `0 4 "aa" "a"`},
		{"a dash at the end of a set is itself", "[a-]+", "b-a", "1 3"},
		{"unfinished capture", "(a", "a", "error"},
		{"capture not opened", "a)", "a", "error"},
		{"capture referred to before its end", "(a%1)", "aa", "error"},
		{"capture that does not exist", "%2", "a", "error"},
		{"unfinished set", "[a", "a", "error"},
		{"unfinished set after an escape", "[%", "a", "error"},
		{"escape of nothing", "a%", "a", "error"},
		{"balance of nothing", "%b(", "a", "error"},
		{"frontier of nothing", "%fa", "a", "error"},
		{"too many captures", strings.Repeat("()", 33), "a", "error"},
		{"too long", strings.Repeat("a", 257), "a", "error"},
	}
	for _, test := range tests {
		if got := show(test.pattern, test.subject); got != test.want {
			t.Errorf("%s: %q on %q gives %s, want %s", test.reason, test.pattern, test.subject, got, test.want)
		}
	}
}

// TestAgreesWithLua compares with the matcher of the virtual machine on small random patterns. Back references are left
// out: the other matcher takes some that Lua refuses.
func TestAgreesWithLua(t *testing.T) {
	items := []string{"a", "b", "%a", "%d", "%D", ".", "[ab]", "[^a]", "%b()", "()", "(a)", "(.*)", "(.-)", "$", "^", "[%w_]", "%.", "(", ")", "1", "-", "[a-c]"}
	times := []string{"", "", "", "*", "+", "-", "?"}
	letters := "abc1().ab_"
	random := rand.New(rand.NewPCG(1, 2))
	matches := 0
	for range 20_000 {
		var source, subject string
		for range 1 + random.IntN(5) {
			source += items[random.IntN(len(items))] + times[random.IntN(len(times))]
		}
		for range random.IntN(8) {
			subject += string(letters[random.IntN(len(letters))])
		}
		got, want := show(source, subject), showLua(source, subject)
		if got != want {
			t.Errorf("%q on %q gives %s, Lua says %s", source, subject, got, want)
		}
		if got != "none" && got != "error" {
			matches++
		}
	}
	if matches < 1000 {
		t.Errorf("only %d of the random patterns matched: the comparison says little", matches)
	}
}

func showLua(source, subject string) string {
	found, err := pm.Find(source, []byte(subject), 0, 1)
	if err != nil {
		return "error"
	}
	if len(found) == 0 {
		return "none"
	}
	match := found[0]
	out := fmt.Sprint(match.Capture(0), match.Capture(1))
	for i := 2; i < match.CaptureLength(); i += 2 {
		if match.IsPosCapture(i) {
			out += fmt.Sprintf(" @%d", match.Capture(i)-1)
		} else {
			out += fmt.Sprintf(" %q", subject[match.Capture(i):match.Capture(i+1)])
		}
	}
	return out
}

func TestWorkIsReported(t *testing.T) {
	p, err := Compile(".-.-.-.-x", true)
	if err != nil {
		t.Fatal(err)
	}
	const limit = 100_000
	done := 0
	defer func() {
		if recover() == nil {
			t.Errorf("the match ended by itself after %d steps", done)
		}
	}()
	m := &Matcher{Pattern: p, Subject: strings.Repeat("a", 10_000), Work: func(steps int) {
		if done += steps; done > limit {
			panic("enough")
		}
	}}
	m.Search(0)
}

func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{
		{"^(%d+)-(%d+)$", "12-34"}, {"[%w_]*()%b()", "f(x(y))"}, {"(a*(.)%2)", "aabb"}, {"%f[%A]", "a b"}, {"[^]a-]+", "xyz]"}, {".-.-.-x", "aaaaaaaa"},
	} {
		f.Add(seed[0], seed[1], true)
	}
	f.Fuzz(func(t *testing.T, source, subject string, anchors bool) {
		p, err := Compile(source, anchors)
		if err != nil {
			return
		}
		type enough struct{}
		done := 0
		defer func() {
			if r := recover(); r != nil && r != (enough{}) {
				panic(r)
			}
		}()
		m := &Matcher{Pattern: p, Subject: subject, Work: func(steps int) {
			if steps < 0 {
				t.Fatalf("%d steps", steps)
			}
			if done += steps; done > 1_000_000 {
				panic(enough{})
			}
		}}
		start, end, ok := m.Search(0)
		if !ok {
			return
		}
		if start < 0 || start > end || end > len(subject) {
			t.Fatalf("match %d to %d of %d bytes", start, end, len(subject))
		}
		for _, c := range m.Captures {
			if !c.Position && (c.Start < start || c.Start > c.End || c.End > end) {
				t.Fatalf("capture %d to %d of the match %d to %d", c.Start, c.End, start, end)
			}
		}
	})
}
