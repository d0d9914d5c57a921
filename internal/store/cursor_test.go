package store

import (
	"testing"
	"time"
)

func FuzzCursor(f *testing.F) {
	for _, text := range []string{"", "a.1", "-1y2p0ij32e8e7.1y2p0ij32e8e7", "zz", ".", "1.0", "1.-5", "1.1.1", "+1.+1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var c Cursor
		if err := c.UnmarshalText([]byte(text)); err != nil {
			if c != (Cursor{}) {
				t.Errorf("%q is refused and yet leaves %v", text, c)
			}
			return
		}
		again, err := c.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var same Cursor
		if err := same.UnmarshalText(again); err != nil || same != c {
			t.Errorf("%q is %v, which is written %q and read as %v, %v", text, c, again, same, err)
		}
	})
}

func TestCursorKeepsItsPlace(t *testing.T) {
	want := Cursor{Time: time.Date(2026, 11, 23, 1, 40, 0, 123456789, time.UTC), ID: 5_000_000}
	text, err := want.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var have Cursor
	if err := have.UnmarshalText(text); err != nil || have != want {
		t.Errorf("have %v, %v, want %v", have, err, want)
	}
}
