// Package charts holds the chart that installs Nave, so that the command line can
// print what it comes to. It has no code of its own.
package charts

import "embed"

// Files are the charts, by path from this directory.
//
//go:embed all:nave
var Files embed.FS
