package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"nave.dev/internal/store"
)

// KeepClusters replaces what is known of clusters, all or none of them.
func (s *Store) KeepClusters(ctx context.Context, clusters ...store.Cluster) error {
	if len(clusters) == 0 {
		return nil
	}
	err := s.write(ctx, func(tx *sql.Tx) error {
		for _, c := range clusters {
			_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO clusters
				(name, state, facts, identity, serial, certificate_end, last_seen, agent_version, accepted, digest)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
				c.Name, text(c.State), text(c.Facts), c.Identity, c.Serial, nanoseconds(c.CertificateEnd), nanoseconds(c.LastSeen),
				c.AgentVersion, c.Accepted, c.Digest)
			if err != nil {
				return err
			}
			if c.Identity == 0 {
				continue
			}
			if _, err := raise(ctx, tx, c.Name, c.Identity); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("writing what is known of clusters: %w", err)
	}
	return nil
}

// Clusters returns what is known of all clusters, by name.
func (s *Store) Clusters(ctx context.Context) (clusters []store.Cluster, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("reading what is known of clusters: %w", explain(err))
		}
	}()
	rows, err := s.readers.QueryContext(ctx, `SELECT name, state, facts, identity, serial, certificate_end, last_seen, agent_version, accepted, digest
		FROM clusters ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			c         store.Cluster
			end, seen int64
		)
		if err := rows.Scan(&c.Name, (*[]byte)(&c.State), (*[]byte)(&c.Facts), &c.Identity, &c.Serial, &end, &seen, &c.AgentVersion, &c.Accepted, &c.Digest); err != nil {
			return nil, err
		}
		c.CertificateEnd, c.LastSeen = moment(end), moment(seen)
		clusters = append(clusters, c)
	}
	return clusters, rows.Err()
}

// Dismiss has a cluster's identities not be accepted any more. Its history stays, and
// so does its highest identity number: a cluster that joins under the same name later
// must not be taken for it.
func (s *Store) Dismiss(ctx context.Context, cluster string, seen int64) (number int64, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM clusters WHERE name = ?`, cluster); err != nil {
			return err
		}
		err := tx.QueryRowContext(ctx, `SELECT coalesce(max(number), 0) FROM identities WHERE cluster = ?`, cluster).Scan(&number)
		if err != nil {
			return err
		}
		number = max(number, seen)
		// Higher numbers may be in tokens that nobody has used yet, the next one also in a
		// token that was made before these were written down.
		issued, err := issued(ctx, tx, cluster)
		if err != nil {
			return err
		}
		last := max(number+1, issued)
		if _, err := raise(ctx, tx, cluster, last); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT OR REPLACE INTO dismissed VALUES (?, ?)`, cluster, last)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("dismissing cluster %q: %w", cluster, err)
	}
	return number, nil
}

// Dismissed returns the highest identity that was dismissed, by cluster.
func (s *Store) Dismissed(ctx context.Context) (map[string]int64, error) {
	numbers := map[string]int64{}
	rows, err := s.readers.QueryContext(ctx, `SELECT cluster, number FROM dismissed`)
	if err != nil {
		return nil, fmt.Errorf("reading who was dismissed: %w", explain(err))
	}
	defer rows.Close()
	for rows.Next() {
		var (
			cluster string
			number  int64
		)
		if err := rows.Scan(&cluster, &number); err != nil {
			return nil, fmt.Errorf("reading who was dismissed: %w", explain(err))
		}
		numbers[cluster] = number
	}
	return numbers, rows.Err()
}

// IssueToken writes down the number of a token that is given away.
func (s *Store) IssueToken(ctx context.Context, cluster string, number int64) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO issued VALUES (?, ?)
			ON CONFLICT (cluster) DO UPDATE SET number = excluded.number WHERE excluded.number > number`, cluster, number)
		return err
	})
	if err != nil {
		return fmt.Errorf("writing down the token of cluster %q: %w", cluster, err)
	}
	return nil
}

// issued returns the highest number of a cluster's tokens, or 0.
func issued(ctx context.Context, tx *sql.Tx, cluster string) (number int64, err error) {
	err = tx.QueryRowContext(ctx, `SELECT coalesce(max(number), 0) FROM issued WHERE cluster = ?`, cluster).Scan(&number)
	return number, err
}

// UseToken writes down that a token enrols a key.
func (s *Store) UseToken(ctx context.Context, token store.Token) error {
	if token.ID == "" || token.Cluster == "" || token.Key == "" || token.Identity < 1 {
		return fmt.Errorf("a token needs an id, a cluster, a key and a number, have %+v", token)
	}
	err := s.write(ctx, func(tx *sql.Tx) error {
		var key string
		switch err := tx.QueryRowContext(ctx, `SELECT key FROM tokens WHERE id = ?`, token.ID).Scan(&key); {
		case err == nil && key == token.Key:
			return nil // the answer to the first use was not heard
		case err == nil:
			return store.ErrTokenUsed
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		if later, err := issued(ctx, tx, token.Cluster); err != nil {
			return err
		} else if token.Identity < later {
			return store.ErrSuperseded
		}
		// The number alone keeps a token from a second use also after it was forgotten.
		if raised, err := raise(ctx, tx, token.Cluster, token.Identity); err != nil {
			return err
		} else if !raised {
			return store.ErrSuperseded
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO tokens VALUES (?, ?, ?)`, token.ID, token.Key, nanoseconds(token.End))
		return err
	})
	if err != nil {
		return fmt.Errorf("using the enrolment token of cluster %q: %w", token.Cluster, err)
	}
	return nil
}

// raise makes a number the highest of a cluster, and says whether it was not yet.
func raise(ctx context.Context, tx *sql.Tx, cluster string, number int64) (bool, error) {
	result, err := tx.ExecContext(ctx, `INSERT INTO identities VALUES (?, ?)
		ON CONFLICT (cluster) DO UPDATE SET number = excluded.number WHERE excluded.number > number`, cluster, number)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

// Identity returns the highest number that the cluster has had, or that a token of it
// has, or 0.
func (s *Store) Identity(ctx context.Context, cluster string) (number int64, err error) {
	err = s.readers.QueryRowContext(ctx, `SELECT coalesce(max(number), 0) FROM
		(SELECT cluster, number FROM identities UNION ALL SELECT cluster, number FROM issued) WHERE cluster = ?`, cluster).Scan(&number)
	if err != nil {
		return 0, fmt.Errorf("reading the identity number of cluster %q: %w", cluster, explain(err))
	}
	return number, nil
}
