package submodule

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		reason string
		text   string
		want   map[string]Module
		err    string
	}{
		"ordinary": {
			"as git submodule add writes it",
			"[submodule \"libs/base\"]\n\tpath = libs/base\n\turl = ../base.git\n[submodule \"web\"]\n\tpath = web\n\turl = https://git.example.com/web\n\tbranch = main\n\tupdate = none\n",
			map[string]Module{
				"libs/base": {Name: "libs/base", Path: "libs/base", URL: "../base.git", Line: 2},
				"web":       {Name: "web", Path: "web", URL: "https://git.example.com/web", Update: "none", Line: 5},
			}, "",
		},
		"by hand": {
			"comments, quotes, escapes, long lines, any case, no order, and windows",
			"\ufeff# ours\r\n[core]\nbare\n[SubModule \"a \\\"b\\\"\"] ; named\n URL = \"https://x/#\"y  z # no\n path = a\\\n b\n[submodule \"c\"] path=c\n[submodule \"a \\\"b\\\"\"]\nurl=https://x/2;\n",
			map[string]Module{"a b": {Name: `a "b"`, Path: "a b", URL: "https://x/2", Line: 6}, "c": {Name: "c", Path: "c", Line: 8}}, "",
		},
		"without a path":     {"such a section stands for nothing", "[submodule \"x\"]\nurl = https://x/y\n", map[string]Module{}, ""},
		"empty":              {"there are none", "", map[string]Module{}, ""},
		"path up":            {"a path that leads outside", "[submodule \"x\"]\npath = ../x\n", nil, `.gitmodules:2: submodule "x": its path "../x" does not lead to a place in the repository`},
		"path absolute":      {"a path of the machine", "[submodule \"x\"]\npath = /etc\n", nil, `.gitmodules:2: submodule "x": its path "/etc" does not`},
		"path of all":        {"the repository itself", "[submodule \"x\"]\npath = .\n", nil, `its path "." does not`},
		"name up":            {"Git would keep its repository outside of its directory", "[submodule \"../../x\"]\npath = x\n", nil, `submodule "../../x": its name leads outside`},
		"name up, windows":   {"by the other separator", "[submodule \"a\\\\..\\\\x\"]\npath = x\n", nil, `its name leads outside`},
		"no name":            {"", "[submodule \"\"]\npath = x\n", nil, `it has no name`},
		"option":             {"Git would take it for an option", "[submodule \"x\"]\npath = x\nurl = --upload-pack=touch\n", nil, "its path or URL begins with a dash"},
		"command":            {"Git refuses it in a repository", "[submodule \"x\"]\npath = x\nupdate = !touch /tmp/x\n", nil, `update = "!touch /tmp/x" is a command`},
		"twice":              {"which one is meant cannot be told", "[submodule \"x\"]\npath = x\n[submodule \"y\"]\npath = x\n", nil, `.gitmodules:4: submodule "y": its path "x" is that of "x" as well`},
		"control character":  {"no address has one", "[submodule \"x\"]\npath = x\nurl = a\\nb\n", nil, `.gitmodules:3: the value of "url" has a control character`},
		"no value":           {"a key alone is true, which is no path", "[submodule \"x\"]\npath\n", nil, `key "path" has no value`},
		"no section":         {"a key outside of sections", "path = x\n", nil, `.gitmodules:1: "path = x" is neither a section nor a key of one`},
		"open section":       {"a section that does not end", "[submodule \"x\"\npath = x\n", nil, `is no section`},
		"open quote":         {"a quote that does not end", "[submodule \"x\"]\npath = \"x\n", nil, `.gitmodules:2: a quote is not closed`},
		"open quote, at end": {"a quote that does not end", "[submodule \"x\"]\npath = \"x", nil, `a quote is not closed`},
		"escape":             {"Git knows no such", "[submodule \"x\"]\npath = \\x\n", nil, "a backslash stands before something"},
		"conflict":           {"a merge that was not finished", "<<<<<<< HEAD\n[submodule \"x\"]\n", nil, `"<<<<<<< HEAD" is neither`},
		"large":              {"nobody has as many", strings.Repeat("#", maxConfig+1), nil, "the limit is"},
		"key without =":      {"", "[submodule \"x\"]\npath x\n", nil, `after key "path" there is no =`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse([]byte(c.text))
			message := ""
			if err != nil {
				message = err.Error()
			}
			if !strings.Contains(message, c.err) || (c.err == "") != (err == nil) {
				t.Errorf("%s: error %q, want %q", c.reason, message, c.err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
		})
	}
}

// What is read without an error is what Git reads.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"[submodule \"a\"]\n\tpath = a\n\turl = ../a.git\n", "[submodule \"a\"] path = \"a b\" ; c\n url = x\\\n  y\n",
		"\ufeff[Submodule \"A\\\"\"]\r\nPath=a\r\n", "[submodule \"a\"]\npath=a  b\t#\n[submodule.a]\npath=c\n", "[submodule \"a\"]\npath=a\nupdate=none\n[x]\n[submodule \"a\"]\nurl=\"\\\\\"\n",
	} {
		f.Add([]byte(seed))
	}
	file := filepath.Join(f.TempDir(), "config")
	f.Fuzz(func(t *testing.T, data []byte) {
		modules, err := Parse(data)
		if err != nil || len(modules) == 0 {
			return
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for at, m := range modules {
			if strings.Contains(at, "..") && (strings.HasPrefix(at, "../") || strings.Contains(at, "/../")) || filepath.IsAbs(at) {
				t.Errorf("path %q leads outside", at)
			}
			for key, want := range map[string]string{"path": m.Path, "url": m.URL, "update": m.Update} {
				out, err := exec.Command("git", "config", "--null", "--file", file, "--get", "submodule."+m.Name+"."+key).Output()
				if got, _ := strings.CutSuffix(string(out), "\x00"); got != want {
					t.Errorf("%s of %q is %q, and Git has %q (%v)", key, m.Name, want, got, err)
				}
			}
		}
	})
}
