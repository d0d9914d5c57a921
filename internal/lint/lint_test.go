package lint

import (
	"path/filepath"
	"strings"
	"testing"
)

// A rule is one sentence about the repository that a machine can check.
type rule struct {
	name  string
	why   string
	check func(*repository) []violation
	git   bool // looks at what Git tracks, which a source archive cannot tell
}

// A violation says where a rule is broken and what to do about it.
type violation struct {
	at   string // path:line, or the path of a file or package
	text string
}

// file is the file or package of a violation, without the line.
func (v violation) file() string {
	file, _, _ := strings.Cut(v.at, ":")
	return file
}

var rules = []rule{{
	name:  "layers",
	why:   "a reader who knows the layers knows which package cannot be the cause; an engine that knows no other engine is tested alone",
	check: layerImports,
}, {
	name:  "restricted-imports",
	why:   "a dependency that one package imports can be replaced there; who calls an engine decides what is logged",
	check: restrictedImports,
}, {
	name:  "package-comments",
	why:   "one paragraph per package tells a reader whether to read on",
	check: packageComments,
}, {
	name:  "exported-names",
	why:   "the contract of a name stands beside it: units, errors, what nil means",
	check: exportedNames,
}, {
	name:  "sizes",
	why:   "under 400 lines a file and 800 a package are comfortable; far beyond that, one thing has become two",
	check: sizes,
}, {
	name:  "names",
	why:   "a package or file is named after what it is about, or everything ends up in it",
	check: names,
}, {
	name:  "uses",
	why:   "deadlines, exit codes and standard output belong to the command; a test waits for a condition",
	check: bannedUses,
}, {
	name:  "unfinished",
	why:   "what is missing stands in the tracker or in the documents, where somebody looks for it",
	check: unfinished,
}, {
	name:  "machine-facts",
	why:   "a clone must work, and read well, on any machine",
	check: machineFacts,
	git:   true,
}, {
	name:  "artefacts",
	why:   "what can be built is built; in the history it stays for ever",
	check: artefacts,
	git:   true,
}, {
	name:  "links",
	why:   "a document that points nowhere is not trusted elsewhere either",
	check: links,
}}

// An exception lets one file or package break one rule. One that nothing
// needs any more is reported too.
type exception struct {
	rule   string
	where  string // a pattern as in covers, of a file or package
	reason string
}

var exceptions = []exception{
	{rule: "restricted-imports", where: "internal/release/...", reason: "Helm logs through slog unless it is told not to"},
	{rule: "uses", where: "internal/lab/process/gate.go", reason: "a process at the gate ends with its starter, in whatever state it is"},
	{rule: "uses", where: "internal/testenv/testenv.go", reason: "it runs a package's tests in TestMain's place: outside any test there is no context, and the exit code is its own"},
}

func TestHouseRules(t *testing.T) {
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	repo, err := open(t.Context(), top)
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			if rule.git && !repo.checkout {
				t.Skip("the repository is not a Git checkout, so nothing is known to be tracked")
			}
			found := excuse(rule, rule.check(repo), exceptions)
			for _, v := range found {
				t.Errorf("%s: %s", v.at, v.text)
			}
			if len(found) > 0 {
				t.Logf("why: %s", rule.why)
			}
		})
	}
}

// excuse drops the violations that an exception covers and adds one for every
// exception of the rule that covers none.
func excuse(r rule, found []violation, exceptions []exception) []violation {
	var left []violation
	used := make([]bool, len(exceptions))
	for _, v := range found {
		excused := false
		for i, e := range exceptions {
			if e.rule == r.name && covers(e.where, v.file()) {
				used[i], excused = true, true
			}
		}
		if !excused {
			left = append(left, v)
		}
	}
	for i, e := range exceptions {
		if e.rule == r.name && !used[i] {
			left = append(left, violation{e.where, "the exception is no longer needed (" + e.reason + "): remove it"})
		}
	}
	return left
}
