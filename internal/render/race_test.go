//go:build race

package render

// What the race detector keeps of a process's memory is memory of the process.
func init() { testedMemory = 8 << 30 }
