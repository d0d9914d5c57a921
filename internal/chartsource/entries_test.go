package chartsource

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLargeIndex: one that is taken apart says the same as one that is read at once, and of charts that nobody wants
// nothing is kept.
func TestLargeIndex(t *testing.T) {
	versions := func(indent, chart string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "%[1]s- apiVersion: v2\n%[1]s  description: |\n%[1]s    of %[2]s:\n\n%[1]s    - a list\n%[1]s    # no comment\n%[1]s  dependencies:\n%[1]s  - name: web\n%[1]s    version: 9.9.9\n"+
				"%[1]s  urls:\n%[1]s  - https://charts.example.com/%[2]s-%[3]d.tgz\n%[1]s  version: 1.%[3]d.0\n", indent, chart, i)
		}
		return b.String()
	}
	block := "# made by hand\napiVersion: v1\nannotations:\n  web:\n  - version: 0.0.1\n    urls: [no]\nentries:\n  other:\n" + versions("    ", "other", 3000) +
		"  \"web\": # quoted\n\n" + versions("  ", "web", 3000) + "# aside\n  flow: [{version: 3.0.0, urls: [x]}]\n  broken:\n  - version: [\n  - {version: 2.0.0, urls: [b]}\n  last:\n  - {version: 1.0.0, urls: [a]}\n" +
		"generated: today\nafter:\n  web:\n  - {version: 0.0.2, urls: [no]}\n"
	var inJSON struct {
		Entries map[string][]entry `json:"entries"`
		After   map[string][]entry `json:"after"`
	}
	inJSON.Entries = map[string][]entry{"last": {{Version: "1.0.0", URLs: []string{"a"}}}}
	for _, chart := range []string{"other", "web"} {
		for i := range 8_000 {
			inJSON.Entries[chart] = append(inJSON.Entries[chart], entry{Version: fmt.Sprintf("1.%d.0", i), URLs: []string{fmt.Sprintf("https://charts.example.com/%s-%d.tgz", chart, i)}})
		}
	}
	inJSON.After = map[string][]entry{"web": {{Version: "0.0.2", URLs: []string{"no"}}}}
	encoded, err := json.Marshal(inJSON)
	if err != nil {
		t.Fatal(err)
	}
	wanted := map[string]bool{"web": true, "last": true, "gone": true}
	for name, text := range map[string]string{"lines": block, "JSON": string(encoded)} {
		if len(text) <= wholeIndex {
			t.Fatalf("%s: it has only %d bytes", name, len(text))
		}
		have, err := readIndex(strings.NewReader(text), wanted)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		whole := &entries{wanted: wanted, charts: map[string][]release{}}
		if err := whole.whole([]byte(strings.Replace(text, "  - version: [\n", "", 1))); err != nil {
			t.Fatal(err)
		}
		if len(have["web"]) < 3000 || len(have["last"]) != 1 {
			t.Errorf("%s: %d versions of web, %d of last", name, len(have["web"]), len(have["last"]))
		}
		if diff := cmp.Diff(whole.charts, have); diff != "" {
			t.Errorf("%s (-at once +taken apart):\n%.2000s", name, diff)
		}
	}
	for reason, text := range map[string]string{
		"does not begin a line":   "entries: {web: [{version: 1.0.0, urls: [a]}]}\n" + strings.Repeat("#\n", wholeIndex),
		"has no entries":          strings.Repeat("a: b\n", wholeIndex),
		"unexpected end of JSON":  `{"entries": {"web": [` + strings.Repeat(" ", wholeIndex),
		"it has no entries, so i": "{" + strings.Repeat(" ", wholeIndex) + "}",
	} {
		if _, err := readIndex(strings.NewReader(text), wanted); err == nil || !strings.Contains(err.Error(), reason) && reason != "unexpected end of JSON" {
			t.Errorf("%s: %v", reason, err)
		}
	}
}

// TestIndexIsAskedForAgain: one that was read for other charts says nothing of a new one.
func TestIndexIsAskedForAgain(t *testing.T) {
	s := newWebServer(t)
	s.add(t, "1.0.0", "one")
	s.set(func() { s.entries = append(s.entries, "  other:\n  - {version: 1.0.0, urls: [web-1.0.0.tgz]}\n") })
	r := follow(t, t.TempDir(), Remote{URL: s.URL + "/charts"})
	resolve(t, r, "*")
	other := Request{Chart: "other", Versions: "*"}
	r.Resolve(other)
	fetch(t, r)
	if found, err := r.Resolve(other); err != nil || found.Version != "1.0.0" {
		t.Errorf("found %+v, %v", found, err)
	}
}
