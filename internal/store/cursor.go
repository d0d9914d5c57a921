package store

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Cursor is a place between two items of a list that is ordered by time and
// number. New items do not move it. Its text is short and fit for a URL.
type Cursor struct {
	Time time.Time
	ID   int64
}

// IsZero reports whether the cursor is no place.
func (c Cursor) IsZero() bool { return c.ID == 0 }

// MarshalText returns the cursor as text; that of the zero value is empty.
func (c Cursor) MarshalText() ([]byte, error) {
	if c.IsZero() {
		return nil, nil
	}
	return []byte(strconv.FormatInt(c.Time.UnixNano(), 36) + "." + strconv.FormatInt(c.ID, 36)), nil
}

// UnmarshalText reads what MarshalText wrote.
func (c *Cursor) UnmarshalText(text []byte) error {
	*c = Cursor{}
	if len(text) == 0 {
		return nil
	}
	at, id, _ := strings.Cut(string(text), ".")
	nanoseconds, err := strconv.ParseInt(at, 36, 64)
	if err == nil {
		c.ID, err = strconv.ParseInt(id, 36, 64)
	}
	if err != nil || c.ID < 1 {
		*c = Cursor{}
		return fmt.Errorf("%q is not a place in a list", text)
	}
	c.Time = time.Unix(0, nanoseconds).UTC()
	return nil
}

// Mark is a point in the life of a database: which one it is, which of its
// openings, and how many durable changes it has seen. An agent keeps the one that
// it was told last and repeats it to the hub.
type Mark struct {
	Database string `json:"database"`
	Opening  string `json:"opening"` // random, so that two copies of a database differ from their next opening on
	Change   int64  `json:"change"`
}
