package release

import (
	"testing"

	"nave.dev/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }
