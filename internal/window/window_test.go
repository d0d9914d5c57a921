package window

import (
	"testing"
	"time"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	moment, err := time.Parse("2006-01-02 15:04:05 -0700", text)
	if err != nil {
		t.Fatal(err)
	}
	return moment
}

func TestOpen(t *testing.T) {
	night := Window{Schedule: "0 22 * * 1-5", Duration: 2 * time.Hour}
	berlin := Window{Schedule: "0 22 * * *", Duration: time.Hour, TimeZone: "Europe/Berlin"}
	for _, test := range []struct {
		reason string
		window Window
		at     string
		want   bool
	}{
		{"it opens at the moment that is named", night, "2026-01-05 22:00:00 +0000", true},
		{"not a second before", night, "2026-01-05 21:59:59 +0000", false},
		{"it is open to its last second", night, "2026-01-05 23:59:59 +0000", true},
		{"and then closed", night, "2026-01-06 00:00:00 +0000", false},
		{"not at the weekend", night, "2026-01-04 22:30:00 +0000", false},
		{"whatever zone the clock is in", night, "2026-01-05 17:30:00 -0500", true},
		{"its own zone in winter", berlin, "2026-01-05 21:30:00 +0000", true},
		{"its own zone in summer", berlin, "2026-07-05 20:30:00 +0000", true},
		{"in summer an hour later it is over", berlin, "2026-07-05 21:30:00 +0000", false},
		{"one that overlaps itself is always open", Window{Schedule: "0 * * * *", Duration: 2 * time.Hour}, "2026-01-05 12:59:00 +0000", true},
		{"one that never comes is never open", Window{Schedule: "0 0 30 2 *", Duration: time.Hour}, "2026-01-05 12:59:00 +0000", false},
		{"one that is not valid is not open", Window{Schedule: "often", Duration: time.Hour}, "2026-01-05 12:59:00 +0000", false},
	} {
		t.Run(test.reason, func(t *testing.T) {
			if got := test.window.Open(at(t, test.at)); got != test.want {
				t.Errorf("open: %v, want %v", got, test.want)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	if err := (Window{Schedule: "*/5 0-6 * JAN-MAR 1,3", Duration: time.Hour, TimeZone: "America/New_York"}).Validate(); err != nil {
		t.Error(err)
	}
	for reason, w := range map[string]Window{
		"six fields":        {Schedule: "0 0 * * * *", Duration: time.Hour},
		"no schedule":       {Duration: time.Hour},
		"a macro":           {Schedule: "@daily", Duration: time.Hour},
		"a zone in it":      {Schedule: "TZ=Europe/Berlin 0 0 * * *", Duration: time.Hour},
		"only a zone":       {Schedule: "TZ=", Duration: time.Hour},
		"no duration":       {Schedule: "0 0 * * *"},
		"a negative one":    {Schedule: "0 0 * * *", Duration: -time.Hour},
		"more than a year":  {Schedule: "0 0 * * *", Duration: 9000 * time.Hour},
		"no such zone":      {Schedule: "0 0 * * *", Duration: time.Hour, TimeZone: "Mars/Base"},
		"the machine's own": {Schedule: "0 0 * * *", Duration: time.Hour, TimeZone: "Local"},
	} {
		if w.Validate() == nil {
			t.Errorf("%s: it is valid", reason)
		}
	}
}

func TestPermit(t *testing.T) {
	day := Window{Allow: true, Schedule: "0 8 * * *", Duration: 8 * time.Hour}
	lunch := Window{Schedule: "0 12 * * *", Duration: time.Hour}
	manual := func(w Window) Window { w.Manual = true; return w }
	overrun := func(w Window) Window { w.Overrun = true; return w }
	const morning, noon, evening = "2026-01-05 09:00:00 +0000", "2026-01-05 12:30:00 +0000", "2026-01-05 20:00:00 +0000"
	for _, test := range []struct {
		reason  string
		windows []Window
		at      string
		manual  bool
		began   string
		want    bool
	}{
		{"no windows", nil, morning, false, "", true},
		{"in an allow window", []Window{day}, morning, false, "", true},
		{"out of it", []Window{day}, evening, false, "", false},
		{"in one of two", []Window{day, {Allow: true, Schedule: "0 20 * * *", Duration: time.Hour}}, evening, false, "", true},
		{"a deny window that is closed", []Window{lunch}, morning, false, "", true},
		{"a deny window wins", []Window{day, lunch}, noon, false, "", false},
		{"by hand where the deny window says so", []Window{day, manual(lunch)}, noon, true, "", true},
		{"not by itself", []Window{day, manual(lunch)}, noon, false, "", false},
		{"all that deny must say so", []Window{manual(lunch), lunch}, noon, true, "", false},
		{"by hand out of an allow window", []Window{manual(day)}, evening, true, "", true},
		{"what began before goes on", []Window{day, overrun(lunch)}, noon, false, morning, true},
		{"not without leave", []Window{day, lunch}, noon, false, morning, false},
		{"what began out of the windows does not", []Window{overrun(day)}, evening, false, "2026-01-05 19:00:00 +0000", false},
		{"what began in it goes on after it", []Window{overrun(day)}, evening, false, morning, true},
	} {
		t.Run(test.reason, func(t *testing.T) {
			var began time.Time
			if test.began != "" {
				began = at(t, test.began)
			}
			if got := Permit(test.windows, at(t, test.at), test.manual, began); got != test.want {
				t.Errorf("permitted: %v, want %v", got, test.want)
			}
		})
	}
}

func FuzzValidate(f *testing.F) {
	f.Add("0 22 * * 1-5", "Europe/Berlin", int64(time.Hour))
	f.Add("TZ=", "", int64(1))
	f.Fuzz(func(t *testing.T, schedule, zone string, duration int64) {
		w := Window{Schedule: schedule, TimeZone: zone, Duration: time.Duration(duration)}
		if w.Validate() == nil {
			w.Open(time.Unix(1e9, 0))
		}
	})
}
