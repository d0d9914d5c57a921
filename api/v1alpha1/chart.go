package v1alpha1

import (
	"fmt"
	"strings"
)

// ChartVersion is a chart of a source of charts, and which versions of it may be used.
type ChartVersion struct {
	Chart   string
	Version string // one, or a range
}

// chartPrefix begins the text of a ChartVersion. No text of a Revision begins so.
const chartPrefix = "chart:"

// String returns the chart as one word, such as "chart:redis:~18.1", which stands where that of a Revision does.
func (c ChartVersion) String() string { return chartPrefix + c.Chart + ":" + c.Version }

// ParseChartVersion reads what String wrote; false means that the text is of something else.
func ParseChartVersion(text string) (ChartVersion, bool) {
	rest, ok := strings.CutPrefix(text, chartPrefix)
	chart, version, both := strings.Cut(rest, ":")
	if !ok || !both || chart == "" || version == "" {
		return ChartVersion{}, false
	}
	return ChartVersion{Chart: chart, Version: version}, true
}

// FillChart returns the chart that a source names, with its templates filled in. A source without one gives the zero
// value.
func (s DeliverySource) FillChart(context Context) (ChartVersion, error) {
	if s.Chart == "" {
		return ChartVersion{}, nil
	}
	chart, err := fillNonEmpty(s.Chart, context)
	if err == nil && !chartName.MatchString(chart) {
		err = fmt.Errorf("%q is not the name of a chart", chart)
	}
	if err != nil {
		return ChartVersion{}, err
	}
	version, err := fillNonEmpty(s.Version, context)
	return ChartVersion{Chart: chart, Version: version}, err
}
