package fleet

import "strings"

// nearest returns the one of names that is most likely meant by name, or "": one that begins with it, or that differs
// in at most one letter of three.
func nearest(name string, names []string) string {
	best, least := "", max(1, len(name)/3)+1
	for _, other := range names {
		d := distance(name, other)
		if len(name) >= 3 && strings.HasPrefix(other, name) {
			d = min(d, 1)
		}
		if d < least {
			best, least = other, d
		}
	}
	return best
}

// distance returns how many bytes must be inserted, deleted, replaced or swapped with their neighbour to make b of a,
// capital letters aside.
func distance(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	// Rows of the table of distances between beginnings of a and b: the one before the last, the last, and the current.
	earlier, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			row[j+1] = min(last[j+1]+1, row[j]+1)
			if a[i] == b[j] {
				row[j+1] = min(row[j+1], last[j])
			} else {
				row[j+1] = min(row[j+1], last[j]+1)
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], earlier[j-1]+1)
			}
		}
		earlier, last, row = last, row, earlier
	}
	return last[len(b)]
}
