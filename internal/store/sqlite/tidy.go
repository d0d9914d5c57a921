package sqlite

import (
	"context"
	"fmt"
	"time"
)

// How old items are removed.
const (
	tidyInterval = time.Minute
	// tidyStep bounds how long a removal keeps others from writing.
	tidyStep = 2000
	// tidyByAge bounds what a clock that is wrong can cost in one interval.
	tidyByAge = 10_000
	// tokenMargin is for clocks that differ: a token is remembered for so long after its end.
	tokenMargin = 24 * time.Hour
)

// tidy removes what is old: events, what operators did, and tokens that are no
// longer valid. By number it removes all that is too much, by age at most so many
// at once.
func (s *Store) tidy(ctx context.Context) error {
	now := s.opts.Now()
	for _, table := range []struct {
		name string
		most int64
		age  time.Duration
	}{{"events", s.opts.Events, s.opts.EventAge}, {"entries", s.opts.Entries, s.opts.EntryAge}} {
		for n := int64(tidyStep); n == tidyStep; {
			var err error
			n, err = s.remove(ctx, fmt.Sprintf(`DELETE FROM %[1]s WHERE id IN (SELECT id FROM %[1]s
				WHERE id <= (SELECT max(id) FROM %[1]s) - ? ORDER BY id LIMIT ?)`, table.name), table.most, tidyStep)
			if err != nil {
				return err
			}
		}
		for removed, n := int64(0), int64(tidyStep); n == tidyStep && removed < tidyByAge; removed += n {
			var err error
			n, err = s.remove(ctx, fmt.Sprintf(`DELETE FROM %[1]s WHERE id IN (SELECT id FROM %[1]s INDEXED BY %[1]s_time
				WHERE time < ? ORDER BY time LIMIT ?)`, table.name), nanoseconds(now.Add(-table.age)), tidyStep)
			if err != nil {
				return err
			}
		}
	}
	_, err := s.remove(ctx, `DELETE FROM tokens WHERE end < ?`, nanoseconds(now.Add(-tokenMargin)))
	return err
}

func (s *Store) remove(ctx context.Context, statement string, args ...any) (int64, error) {
	result, err := s.writer.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, fmt.Errorf("removing what is old from the database: %w", explain(err))
	}
	return result.RowsAffected()
}
