package chart

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/Masterminds/sprig/v3"
)

// random are the template functions whose result is another one every time.
var random = []string{
	"bcrypt", "encryptAES", "genCA", "genCAWithKey", "genPrivateKey", "genSelfSignedCert", "genSelfSignedCertWithKey",
	"genSignedCert", "genSignedCertWithKey", "htpasswd", "randAlpha", "randAlphaNum", "randAscii", "randBytes", "randInt",
	"randNumeric", "shuffle", "uuidv4",
}

// monitor stands between templates and the functions that look at more than their arguments, and notes their use.
type monitor struct {
	now     time.Time
	unsure  map[string]bool // random and clock functions that were called
	lookups map[string]bool // objects that were looked up
	hosts   map[string]bool // names that were to be resolved
}

func newMonitor(now time.Time) *monitor {
	return &monitor{now: now, unsure: map[string]bool{}, lookups: map[string]bool{}, hosts: map[string]bool{}}
}

// functions returns the functions that replace Helm's own.
func (m *monitor) functions() template.FuncMap {
	all := sprig.TxtFuncMap()
	functions := template.FuncMap{
		"lookup": func(apiVersion, kind, namespace, name string) (map[string]any, error) {
			m.lookups[strings.Join(strings.Fields(apiVersion+" "+kind+" "+strings.Trim(namespace+"/"+name, "/")), " ")] = true
			return map[string]any{}, nil
		},
		"getHostByName": func(name string) string {
			m.hosts[name] = true
			return ""
		},
		"now":            func() time.Time { return m.clock("now") },
		"ago":            func(date any) string { return m.clock("ago").Sub(m.instant("ago", date)).Round(time.Second).String() },
		"date":           func(layout string, date any) string { return m.instant("date", date).UTC().Format(layout) },
		"htmlDate":       func(date any) string { return m.instant("htmlDate", date).UTC().Format(time.DateOnly) },
		"dateInZone":     m.dateInZone,
		"date_in_zone":   m.dateInZone,
		"htmlDateInZone": func(date any, zone string) string { return m.dateInZone(time.DateOnly, date, zone) },
		"durationRound":  m.durationRound(all["durationRound"]),
	}
	for _, name := range random {
		functions[name] = m.noting(name, all[name])
	}
	return functions
}

// noting wraps a function of any signature.
func (m *monitor) noting(name string, function any) any {
	value := reflect.ValueOf(function)
	return reflect.MakeFunc(value.Type(), func(args []reflect.Value) []reflect.Value {
		m.unsure[name] = true
		if value.Type().IsVariadic() {
			return value.CallSlice(args)
		}
		return value.Call(args)
	}).Interface()
}

func (m *monitor) clock(name string) time.Time {
	m.unsure[name] = true
	return m.now
}

// instant reads the argument of a date function as sprig does: what is no time is the present one.
func (m *monitor) instant(name string, date any) time.Time {
	switch date := date.(type) {
	case time.Time:
		return date
	case *time.Time:
		return *date
	case int64:
		return time.Unix(date, 0)
	case int:
		return time.Unix(int64(date), 0)
	case int32:
		return time.Unix(int64(date), 0)
	}
	return m.clock(name)
}

func (m *monitor) dateInZone(layout string, date any, zone string) string {
	at := m.instant("dateInZone", date)
	location, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" { // the zone of the machine must not show
		location = time.UTC
	}
	return at.In(location).Format(layout)
}

// durationRound counts from a time to now, where its argument is a time.
func (m *monitor) durationRound(original any) any {
	round, ok := original.(func(any) string)
	if !ok {
		return original
	}
	return func(duration any) string {
		if at, ok := duration.(time.Time); ok {
			duration = m.clock("durationRound").Sub(at).String()
		}
		return round(duration)
	}
}

// warnings says what the templates were not given.
func (m *monitor) warnings() []string {
	var warnings []string
	for _, object := range slices.Sorted(maps.Keys(m.lookups)) {
		warnings = append(warnings, fmt.Sprintf("lookup of %q returns nothing: rendering has no cluster", object))
	}
	for _, host := range slices.Sorted(maps.Keys(m.hosts)) {
		warnings = append(warnings, fmt.Sprintf("getHostByName of %q returns nothing: rendering has no network", host))
	}
	return warnings
}
