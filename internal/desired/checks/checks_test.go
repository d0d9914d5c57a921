package checks

import (
	"testing"
	"testing/fstest"
)

// commit is one with a hash of its checks.
type commit struct {
	fstest.MapFS
	hash string
}

func (c commit) Hash(string) (string, bool) { return c.hash, c.hash != "" }

func at(hash, check string) commit {
	return commit{fstest.MapFS{"health/core/Service/health.lua": {Data: []byte(check)}}, hash}
}

// TestChecksAreCompiledOnce has checks compiled again only when they are others.
func TestChecksAreCompiledOnce(t *testing.T) {
	var r Reader
	if found, problems := r.Read(commit{MapFS: fstest.MapFS{}}, "c0"); found != (Checks{}) || len(problems) != 0 {
		t.Fatalf("without any: %+v, %v", found, problems)
	}
	_, problems := r.Read(at("1", "return }"), "c1")
	if len(problems) != 1 || problems[0].File != "health/core/Service/health.lua" {
		t.Fatalf("a broken one: %v", problems)
	}
	r.problems[0].Message = "as remembered"
	if _, same := r.Read(at("1", "return }"), "c2"); len(same) != 1 || same[0].Message != "as remembered" {
		t.Errorf("a commit that does not touch the checks has them compiled: %v", same)
	}
	found, problems := r.Read(at("2", `return {status = "Healthy"}`), "c3")
	if len(problems) != 0 || found.Digest != "2" {
		t.Errorf("after the repair: %+v, %v", found, problems)
	}
	// Files that are being edited have no hash, and are compiled each time.
	if found, problems := r.Read(at("", "return }"), "worktree"); len(problems) != 1 || found.Digest != "worktree" {
		t.Errorf("files without hashes: %+v, %v", found, problems)
	}
}
