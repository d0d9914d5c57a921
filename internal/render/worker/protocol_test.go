package worker

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"nave.dev/internal/render/build"
	"nave.dev/internal/render/manifest"
	"nave.dev/internal/render/tree"
)

// talk serves jobs over pipes, as a process would.
func talk(t *testing.T) (parent *conn, ended <-chan error, hangUp func()) {
	t.Helper()
	fromParent, toWorker := io.Pipe()
	fromWorker, toParent := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- Serve(fromParent, toParent) }()
	return newConn(fromWorker, toWorker, 1<<20), done, func() { toWorker.Close() }
}

func TestServe(t *testing.T) {
	parent, ended, hangUp := talk(t)
	worker := &process{conn: parent}
	files := tree.Source{Files: fstest.MapFS{
		"good/a.yaml": {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")},
		"bad/a.yaml":  {Data: []byte("kind: ConfigMap\n")},
	}}
	good, err := worker.do(files, build.Job{Path: "good"})
	if err != nil {
		t.Fatal(err)
	}
	if out, _, err := good.unpack(); err != nil || len(out.Objects) != 1 {
		t.Errorf("%+v, %v", out, err)
	}
	bad, err := worker.do(files, build.Job{Path: "bad"})
	if err != nil {
		t.Fatal(err)
	}
	var problems manifest.Problems
	if _, _, err := bad.unpack(); !errors.As(err, &problems) || problems[0].File != "bad/a.yaml" || problems[0].Line != 1 {
		t.Errorf("problems %v do not cross over whole", err)
	}
	absent, err := worker.do(files, build.Job{Path: "absent"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := absent.unpack(); err == nil || !strings.Contains(err.Error(), "is not in the repository") {
		t.Errorf("error %v, want that of an absent path", err)
	}
	hangUp()
	if err := <-ended; err != nil {
		t.Errorf("a worker whose parent hangs up: %v", err)
	}
}

// broken is a tree with an error that is no absence.
type broken struct{ tree.Source }

func (broken) ReadFile(string) ([]byte, error) { return nil, errors.New("disk on fire") }

func TestErrorsOfTheTreeCrossOver(t *testing.T) {
	parent, _, hangUp := talk(t)
	defer hangUp()
	worker := &process{conn: parent}
	files := broken{tree.Source{Files: fstest.MapFS{"app/a.yaml": {}}}}
	done, err := worker.do(files, build.Job{Path: "app"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := done.unpack(); err == nil || !strings.Contains(err.Error(), "disk on fire") || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want that of the tree", err)
	}
}

func TestLongMessagesAreRefused(t *testing.T) {
	var b bytes.Buffer
	if err := newConn(nil, &b, 10).send(msgRead, make([]byte, 11)); err == nil {
		t.Error("a long message was sent")
	}
	if err := newConn(nil, &b, 100).send(msgRead, make([]byte, 50)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := newConn(&b, nil, 10).receive(); err == nil {
		t.Error("a long message was received")
	}
}

// Whatever a worker sends, its parent ends with an outcome or an error.
func FuzzOutcome(f *testing.F) {
	for _, seed := range []string{
		"D\x00\x00\x00\x02{}", "R\x00\x00\x00\x01aD\x00\x00\x00\x02[]", "L\x00\x00\x00\x02..", "S\x00\x00\x00\x00", "X\x00\x00\x00\x00", "D\xff\xff\xff\xff",
		"D\x00\x00\x00\x1c{\"output\":{\"objects\":[null]}}", "D\x00\x00\x00\x10{\"error\":\"broken\"}",
	} {
		f.Add([]byte(seed))
	}
	files := tree.Source{Files: fstest.MapFS{"a": {Data: []byte("a")}}}
	f.Fuzz(func(t *testing.T, data []byte) {
		worker := &process{conn: newConn(bytes.NewReader(data), io.Discard, 1<<20)}
		done, err := worker.do(files, build.Job{Path: "app"})
		if err != nil {
			return
		}
		out, _, err := done.unpack()
		if (out == nil) == (err == nil) {
			t.Errorf("output %v and error %v", out, err)
		}
		if err == nil {
			_, _ = out.Bundle()
		}
	})
}
