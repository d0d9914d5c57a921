package sandbox

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func compile(t testing.TB, source string) *Script {
	t.Helper()
	s, err := Compile("test.lua", source)
	if err != nil {
		t.Fatalf("compiling: %v", err)
	}
	return s
}

// TestLanguage runs programs that return their result as r. The expected values are those of Lua 5.1.
func TestLanguage(t *testing.T) {
	tests := []struct{ reason, source, want string }{
		{"strings and numbers are joined", `return {r = "a" .. 1 .. "b" .. 2.5}`, "a1b2.5"},
		{"an operand is one value, even of a call at the end", `local function f() return "x", "y" end return {r = "a" .. f()}`, "ax"},
		{"an operand is one value, even of varargs at the end", `local function f(...) return "a" .. ... end return {r = f("x", "y")}`, "ax"},
		{"joining binds looser than arithmetic", `return {r = 1 + 2 .. "|" .. 2 * 3}`, "3|6"},
		{"long chains are joined", `return {r = #(` + strings.Repeat(`"ab" .. `, 300) + `"c")}`, "601"},
		{"targets are evaluated before any is assigned", `local t, i = {}, 1; i, t[i] = i + 1, 20; return {r = i .. "," .. tostring(t[1]) .. "," .. tostring(t[2])}`, "2,20,nil"},
		{"values are swapped", `local t = {1, 2}; local i, j = 1, 2; t[i], t[j] = t[j], t[i]; return {r = t[1] .. t[2]}`, "21"},
		{"targets nest", `local t, u = {{}}, {5}; t[1][u[1]] = "x"; t["a" .. 1] = 7; return {r = t[1][5] .. t.a1}`, "x7"},
		{"a table is one value at the end of a list", `local t = {1, {2}}; return {r = #t}`, "2"},
		{"methods, varargs and closures", `local o = {n = 1}; function o:add(...) for _, v in ipairs({...}) do self.n = self.n + v end return self end; return {r = o:add(1, 2):add(3).n}`, "7"},
		{"loops of all kinds", `local n = 0; for i = 1, 3 do n = n + i end; while n < 10 do n = n + 1 end; repeat n = n + 1 until n > 12; for k, v in pairs({a = 1, 2}) do n = n + v end; do n = n * 2 end; return {r = n}`, "32"},
		{"a caught error", `local ok, err = pcall(function() error("bad") end); return {r = tostring(ok) .. ":" .. err}`, "false:test.lua:1: bad"},
		{"methods on strings", `return {r = ("abc"):upper():sub(2)}`, "BC"},
		{"keys come in order", `local s = ""; for k in pairs(obj.status) do s = s .. k end; return {r = s}`, "abcd"},
		{"numbers of the input", `return {r = obj.spec.n + obj.spec.f}`, "3.5"},
		{"lists of the input", `return {r = #obj.spec.l .. obj.spec.l[2].x}`, "2y"},
		{"truth and absence in the input", `return {r = tostring(obj.spec.yes) .. tostring(obj.spec.none) .. tostring(obj.nothing)}`, "truenilnil"},
		{"managed fields are not handed over", `return {r = tostring(obj.metadata.managedFields) .. obj.metadata.name}`, "nilx"},
		{"the whole input can be handed on", `local function keys(o) local n = 0; for _ in pairs(o) do n = n + 1 end return n end return {r = keys(obj)}`, "4"},
		{"the whole input can be reached through _G", `return {r = _G.obj.kind}`, "K"},
		{"os can be required", `local os = require("os"); return {r = os.time()}`, "1714564800"},
		{"a date in UTC", `return {r = os.date("%Y-%m-%dT%H:%M:%SZ%%", 0) .. os.date("!%F")}`, "1970-01-01T00:00:00Z%2024-05-01"},
		{"a date as a table", `local d = os.date("*t", 86399); return {r = d.hour .. ":" .. d.min .. ":" .. d.sec .. " " .. d.yday}`, "23:59:59 1"},
		{"a time from a table of strings", `return {r = os.time({year = "2024", month = "05", day = "01", hour = "12", min = 0, sec = 0})}`, "1714564800"},
		{"printing does nothing", `print("x"); return {r = "ok"}`, "ok"},
		{"find", `return {r = table.concat({("a.b"):find(".", 1, true)}, ",") .. "|" .. table.concat({("key=val"):find("(%a+)=(%a+)")}, ",")}`, "2,2|1,7,key,val"},
		{"find from the end and past it", `return {r = tostring(("abc"):find("c", -1)) .. tostring(("abc"):find("a", 10)) .. tostring(("abc"):find("", 10))}`, "3nil4"},
		{"match", `return {r = ("v1.30.2"):match("^v(%d+%.%d+)") .. tostring(("x"):match("%d"))}`, "1.30nil"},
		{"gmatch", `local s = ""; for k, v in ("a=1, b=2"):gmatch("(%w+)=(%w+)") do s = s .. k .. v end; return {r = s}`, "a1b2"},
		{"gmatch over empty matches", `local n = 0; for _ in ("abc"):gmatch("x*") do n = n + 1 end; return {r = n}`, "4"},
		{"gsub with a string", `return {r = (("hello world"):gsub("o", "0", 1)) .. (("a b"):gsub("(%a) (%a)", "%2 %1 %0%%"))}`, "hell0 worldb a a b%"},
		{"gsub with a table", `return {r = (("$x $y"):gsub("%$(%a)", {x = "1"}))}`, "1 $y"},
		{"gsub with a function", `return {r = (("abc"):gsub("%a", function(c) if c == "b" then return "B" end end))}`, "aBc"},
		{"gsub counts", `local s, n = ("abc"):gsub("", "-"); return {r = s .. n}`, "-a-b-c-4"},
		{"gsub with an anchor", `return {r = (("aaa"):gsub("^a", "b"))}`, "baa"},
		{"format", `return {r = ("%5.1f|%-3d|%s|%q|%%"):format(1.25, 7, "x", "y")}`, `  1.2|7  |x|"y"|%`},
		{"rep, reverse, byte and char", `return {r = ("ab"):rep(2) .. ("ab"):reverse() .. ("a"):byte() .. string.char(98) .. ("x"):rep(-1)}`, "ababba97b"},
		{"sorting", `local t = {3, 1, 2}; table.sort(t, function(a, b) return a > b end); return {r = table.concat(t, ">")}`, "3>2>1"},
		{"insert, remove and concat of a range", `local t = {"a", "c"}; table.insert(t, 2, "b"); table.insert(t, "d"); table.remove(t, 1); return {r = table.concat(t, ",", 2, 3)}`, "c,d"},
		{"unpack and select", `return {r = select("#", unpack({1, 2, 3}, 2)) .. select(2, "a", "b")}`, "2b"},
	}
	input := map[string]any{
		"kind":     "K",
		"metadata": map[string]any{"name": "x", "managedFields": []any{map[string]any{"manager": "m"}}},
		"spec":     map[string]any{"n": int64(1), "f": 2.5, "l": []any{"x", map[string]any{"x": "y"}}, "yes": true, "none": nil},
		"status":   map[string]any{"d": "", "a": "", "c": "", "b": ""},
	}
	r := New(Options{Clock: func() time.Time { return time.Unix(1714564800, 0) }})
	for _, test := range tests {
		out, err := r.Run(t.Context(), compile(t, test.source), input)
		if err != nil {
			t.Errorf("%s: %v", test.reason, err)
		} else if out.Fields["r"] != test.want {
			t.Errorf("%s: got %q, want %q", test.reason, out.Fields["r"], test.want)
		}
	}
}

func TestOutcome(t *testing.T) {
	tests := []struct {
		reason, source string
		want           Outcome
	}{
		{"strings and numbers are taken", `return {status = "Healthy", n = 1.5, nested = {}, yes = true, "first"}`, Outcome{Fields: map[string]string{"status": "Healthy", "n": "1.5"}}},
		{"nothing", ``, Outcome{Empty: true}},
		{"nil", `return nil`, Outcome{Empty: true}},
		{"an empty table", `return {}`, Outcome{Empty: true}},
		{"reading the clock is noted", `return {t = os.date("%Y")}`, Outcome{Fields: map[string]string{"t": "1970"}, ReadClock: true}},
		{"asking for a fixed time is not", `return {t = os.time({year = 1970, month = 1, day = 1, hour = 0})}`, Outcome{Fields: map[string]string{"t": "0"}}},
		{"broken text is mended", `return {s = "a\255"}`, Outcome{Fields: map[string]string{"s": "a?"}}},
	}
	r := New(Options{Clock: func() time.Time { return time.Unix(0, 0) }})
	for _, test := range tests {
		got, err := r.Run(t.Context(), compile(t, test.source), nil)
		if err != nil {
			t.Errorf("%s: %v", test.reason, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.reason, diff)
		}
	}
}

func TestScriptErrors(t *testing.T) {
	tests := []struct{ reason, source, want string }{
		{"a field of nothing", "\nreturn obj.status.x", "test.lua:2: attempt to index a non-table object(nil) with key 'x'"},
		{"an error of its own", `error("bad thing")`, "test.lua:1: bad thing"},
		{"an error that is a table", `error({})`, "test.lua: error called with a table, want a string"},
		{"the wrong result", `return "Healthy"`, "test.lua: the script returned a string, want a table"},
		{"nil is not joined", `return {a = "x" .. nil}`, "test.lua:1: attempt to concatenate a nil value"},
		{"a wide format", `return {a = ("%1000d"):format(1)}`, `test.lua:1: invalid option "%1000d" to 'format'`},
		{"a format that Go has and Lua has not", `return {a = ("%v"):format(1)}`, `test.lua:1: invalid option "%v" to 'format'`},
		{"a malformed pattern", `return {a = ("x"):find("[a")}`, "test.lua:1: malformed pattern (missing ']')"},
		{"a capture that does not exist", `return {a = ("x"):gsub("x", "%2")}`, "test.lua:1: invalid capture index %2 in replacement"},
		{"an incomplete date", `return {a = os.time({year = 2024})}`, `test.lua:1: field "month" missing in date table`},
		{"an unknown library", `require("io")`, `test.lua:1: require of "io": only os, string, table and math exist here`},
	}
	r := New(Options{})
	for _, test := range tests {
		_, err := r.Run(t.Context(), compile(t, test.source), nil)
		if err == nil || err.Error() != test.want {
			t.Errorf("%s: got %v, want %s", test.reason, err, test.want)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	tests := []struct{ reason, source, want string }{
		{"an unfinished statement", "local x =\nif", `test.lua:2: syntax error near "if"`},
		{"an unfinished block", "\nif true then\n\n", "test.lua:2: syntax error at the end of the script"},
		{"an unfinished string", "\n\nx = \"a", "test.lua:3: unterminated string at the end of the script"},
		{"break outside a loop", "x = 1\nbreak", "test.lua:2: no loop to break"},
		{"a deep nest", "x = " + strings.Repeat("{", 2000) + strings.Repeat("}", 2000), "test.lua:1: nested too deeply"},
		{"too long", strings.Repeat(" ", maxSource+1), "test.lua: 65537 bytes, want at most 65536"},
	}
	for _, test := range tests {
		_, err := Compile("test.lua", test.source)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || err.Error() != test.want {
			t.Errorf("%s: got %v, want %s", test.reason, err, test.want)
		}
	}
}

// TestOutOfReach lists what a script must not find.
func TestOutOfReach(t *testing.T) {
	r := New(Options{})
	for _, name := range []string{
		"io", "debug", "package", "coroutine", "channel", "module", "load", "loadstring", "loadfile", "dofile", "collectgarbage",
		"getfenv", "setfenv", "getmetatable", "setmetatable", "rawset", "newproxy", "_printregs", "xpcall",
		"os.execute", "os.exit", "os.getenv", "os.setenv", "os.remove", "os.rename", "os.tmpname", "os.setlocale",
		"math.random", "math.randomseed", "string.dump",
	} {
		out, err := r.Run(t.Context(), compile(t, fmt.Sprintf("return {r = type(%s)}", name)), nil)
		if err != nil || out.Fields["r"] != "nil" {
			t.Errorf("%s is a %s (%v), want nil", name, out.Fields["r"], err)
		}
	}
}

// TestLimits runs programs that would use up the machine. Each must end with ErrLimit or, where want is set, with that
// error, and none may allocate more than a fixed amount on its way.
func TestLimits(t *testing.T) {
	tests := []struct{ reason, source, want string }{
		{"an endless loop", `while true do end`, ""},
		{"an endless loop that catches errors", `while true do pcall(function() while true do end end) end`, ""},
		{"an endless loop in a caught callback", `pcall(string.gsub, "aaaa", "a", function() while true do end end) while true do end`, ""},
		{"endless recursion", `local function f() return 1 + f() end f()`, "stack overflow"},
		{"endless recursion by tail calls", `local function f() return f() end f()`, ""},
		{"endless recursion through pcall", `local function f() pcall(f) end while true do f() end`, ""},
		{"endless recursion through gsub", `local function f() return (("a"):gsub("a", f)) end f()`, "stack overflow"},
		{"one huge string", `return {s = ("x"):rep(1e9)}`, "string of more than 1048576 bytes"},
		{"a string that doubles", `local s = "x" while true do s = s .. s end`, "string of more than 1048576 bytes"},
		{"many large strings", `local t, s = {}, ("x"):rep(1e6) for i = 1, 1e6 do t[i] = s .. i end`, ""},
		{"many large strings, caught", `local t, s = {}, ("x"):rep(1e6) while true do pcall(function() t[#t + 1] = s .. #t end) end`, ""},
		{"many tables", `local t = {} while true do t = {t, {}, {}} end`, "script was stopped after 4194304 bytes of memory"},
		{"many tables with fields", `local t = {} while true do local u = {} u.x = t t = u end`, ""},
		{"many closures", `local t = {} while true do t[#t + 1] = function() return t end end`, ""},
		{"a far index", `local t = {} t[6e7] = 1`, ""},
		{"many far indices", `while true do local t = {} t[60000] = 1 end`, ""},
		{"a far index in a constructor", `local t = {[6e7] = 1}`, ""},
		{"a far index of a nested target", `local t = {{}} t[1][6e7 + 1] = 1`, ""},
		{"a far insert", `local t = {} table.insert(t, 6e7, 1)`, ""},
		{"a large unpack", `unpack({}, 1, 1e9)`, "too many results to unpack"},
		{"a range of unpack that wraps around", `unpack({}, -9e18, 9e18)`, "too many results to unpack"},
		{"many large unpacks", `local n = 0 while true do n = n + select("#", unpack({}, 1, 60000)) end`, ""},
		{"bytes of a large string", `local s = ("x"):rep(1e6) return {s:byte(1, -1)}`, "registry overflow"},
		{"a replacement that multiplies", `local s = ("x"):rep(1e5) return {s = (s:gsub("x", s))}`, "string of more than 1048576 bytes"},
		{"a replacement that repeats the match", `local s = ("x"):rep(1e5) return {s = (s:gsub(".*", ("%0"):rep(1000)))}`, "string of more than 1048576 bytes"},
		{"a table joined to itself", `local t, s = {}, ("x"):rep(10000) for i = 1, 1000 do t[i] = s end return {s = table.concat(t)}`, "string of more than 1048576 bytes"},
		{"a pattern that goes back for ever", `return {s = ("a"):rep(10000):find(".-.-.-.-.-x")}`, ""},
		{"a pattern over a long string again and again", `local s = ("a"):rep(1e6) while true do s:find("b*c") end`, ""},
		{"a plain search over a long string again and again", `local s = ("a"):rep(1e6) while true do s:find("b", 1, true) end`, ""},
		{"sorting again and again", `local t = {} for i = 1, 20000 do t[i] = i end while true do table.sort(t) end`, ""},
		{"shifting again and again", `local t = {} for i = 1, 20000 do t[i] = i end while true do table.insert(t, 1, table.remove(t, 1)) end`, ""},
		{"numbers of long strings again and again", `local s = ("1"):rep(1e6) while true do tonumber(s) end`, ""},
		{"a long list to join again and again", `local t = {} while true do table.concat(t, "", 1, 0) pcall(table.concat, t, "", 1, 1e15) end`, ""},
		{"guards overwritten", `for k in pairs({"(concat)", "(table)"}) do _G[k] = function(a) return a end end local s = "x" while true do s = s .. s end`, "string of more than 1048576 bytes"},
	}
	// A quarter of the default limits keeps the test short; what a run can allocate grows in proportion to them.
	const most = 50 << 20
	r := New(Options{Limits: Limits{Steps: DefaultSteps / 4, Bytes: DefaultBytes / 4, Time: time.Hour}})
	for _, test := range tests {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := r.Run(t.Context(), compile(t, test.source), nil)
		runtime.ReadMemStats(&after)
		switch {
		case err == nil:
			t.Errorf("%s: no error", test.reason)
		case test.want == "" && !errors.Is(err, ErrLimit):
			t.Errorf("%s: got %v, want %v", test.reason, err, ErrLimit)
		case !strings.Contains(err.Error(), test.want):
			t.Errorf("%s: got %v, want %s", test.reason, err, test.want)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > most {
			t.Errorf("%s: allocated %d MiB, want at most %d", test.reason, used>>20, most>>20)
		}
	}
}

// TestWorkIsCounted states the least number of steps that a program costs, so that no library function does much for
// little. The first line also shows that the virtual machine still asks before every instruction.
func TestWorkIsCounted(t *testing.T) {
	tests := []struct {
		reason, source string
		least          int
	}{
		{"instructions", `for i = 1, 1000 do end`, 1000},
		{"sorting", `local t = {} for i = 1, 1000 do t[i] = i end table.sort(t)`, 1000*10 + 5*1000},
		{"unpacking", `return {select("#", unpack({}, 1, 5000))}`, 5000},
		{"shifting", `local t = {} t[8000] = 1 table.insert(t, 1, 0) table.remove(t, 1)`, 2000},
		{"joining a list", `local t = {} for i = 1, 1000 do t[i] = i end table.concat(t)`, 6000},
		{"parsing a number", `tonumber(("1"):rep(64000))`, 5000},
		{"searching", `local s = ("a"):rep(64000) s:find("b", 1, true)`, 5000},
		{"matching", `local s = ("a"):rep(1000) s:find("b")  s:match("[^b]-b", 900)`, 5000},
		{"compiling a pattern", `pcall(string.match, "", ("[a]"):rep(2000))`, 6000},
		{"replacing", `local s = ("a"):rep(1000):gsub("a", "b")`, 2000},
		{"copying", `local s = ("a"):rep(640000) s = s:upper() s = s .. "b"`, 30000},
	}
	for _, test := range tests {
		m := newMachine(time.Now)
		limits := Limits{Steps: DefaultSteps, Bytes: DefaultBytes, Time: time.Hour}
		if _, err := m.run(t.Context(), limits, compile(t, test.source), nil); err != nil {
			t.Errorf("%s: %v", test.reason, err)
		}
		if m.budget.used < test.least {
			t.Errorf("%s: counted %d steps, want at least %d", test.reason, m.budget.used, test.least)
		}
	}
}

func TestTimeLimit(t *testing.T) {
	r := New(Options{Limits: Limits{Steps: 1 << 50, Time: 10 * time.Millisecond}})
	_, err := r.Run(t.Context(), compile(t, `while true do end`), nil)
	if !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "after 10ms") {
		t.Errorf("got %v, want %v after 10ms", err, ErrLimit)
	}
}

func TestCancel(t *testing.T) {
	r := New(Options{Limits: Limits{Steps: 1 << 50, Time: time.Hour}})
	endless := compile(t, `while true do end`)
	cause := errors.New("going home")

	running, stop := context.WithTimeoutCause(t.Context(), 10*time.Millisecond, cause)
	defer stop()
	if _, err := r.Run(running, endless, nil); !errors.Is(err, cause) || errors.Is(err, ErrLimit) {
		t.Errorf("cancelled while running: got %v, want %v", err, cause)
	}
	if _, err := r.Run(running, endless, nil); !errors.Is(err, cause) {
		t.Errorf("cancelled before: got %v, want %v", err, cause)
	}
}

// TestNothingLeaks lets one run break all it can reach and shows that the next run, on the same machine, sees none of it.
func TestNothingLeaks(t *testing.T) {
	r := New(Options{})
	r.idle = make(chan *machine, 1)
	const probe = `
		local out = "ab" .. "c"
		for _, name in ipairs({"find", "format", "rep"}) do out = out .. type(string[name]) end
		out = out .. ("x"):rep(2) .. tostring(leak) .. tostring(string.leak) .. tostring(table[1]) .. tostring(("").leak) .. #table
		local t = {2, 1} table.sort(t) t[3] = 3
		return {r = out .. table.concat(t) .. math.floor(1.5) .. os.time({year = 1970, month = 1, day = 1, hour = 0}) .. tostring(obj)}`
	run := func(source string) (string, error) {
		out, err := r.Run(t.Context(), compile(t, source), nil)
		return out.Fields["r"], err
	}
	want, err := run(probe)
	if err != nil {
		t.Fatal(err)
	}
	want = want[:strings.Index(want, "table: ")]
	machine := <-r.idle
	r.idle <- machine
	for _, vandal := range []string{
		`leak = 1; _G.leak = 2; obj = nil`,
		`local globals = _G for k in pairs(globals) do globals[k] = 0 end`,
		`_G["(concat)"] = function() return "evil" end; _G["(table)"] = nil; _G["(key)"] = nil; _G["(target)"] = error`,
		`string.find = nil; string.leak = 1; string.rep = function() return "evil" end; table.sort = nil; math.floor = nil; os.time = nil`,
		`table.insert(table, "leak"); table.insert(string, "leak"); table[1] = "leak"; string.format = print`,
		`type = nil; ipairs = function() error("evil") end; tostring = print; string = nil; table = nil; math = nil; os = nil`,
		`local os = require("os"); os.time = nil; require("string").rep = nil`,
		`pcall(function() ("").leak = 1 end); pcall(function() string.__index = {} end)`,
		`pcall(error, {}); pcall(function() local x = {} x[function() end] = 1 error("x") end)`,
	} {
		if _, err := run(vandal); err != nil {
			t.Errorf("%s: %v", vandal, err)
		}
		if len(r.idle) != 1 {
			t.Fatalf("%s: the machine was not kept, so the next run proves nothing", vandal)
		}
		got, err := run(probe)
		if err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("after %s:\ngot  %s (%v)\nwant %s", vandal, got, err, want)
		}
	}
	if after := <-r.idle; after != machine {
		t.Error("another machine served the later runs")
	}
}

// TestInputIsCopied shows that a script's changes to obj reach neither the caller's object nor the next run.
func TestInputIsCopied(t *testing.T) {
	r := New(Options{})
	input := map[string]any{"status": map[string]any{"x": "a", "l": []any{"b"}}}
	script := compile(t, `obj.status.x = obj.status.x .. "!"; obj.status.l[1] = "c"; obj.new = 1; return {r = obj.status.x .. tostring(obj.old)}`)
	for range 2 {
		out, err := r.Run(t.Context(), script, input)
		if err != nil || out.Fields["r"] != "a!nil" {
			t.Errorf("got %q, %v", out.Fields["r"], err)
		}
	}
	want := map[string]any{"status": map[string]any{"x": "a", "l": []any{"b"}}}
	if diff := cmp.Diff(want, input); diff != "" {
		t.Errorf("the input changed (-want +got):\n%s", diff)
	}
}

func TestOnlyWhatIsMentionedIsConverted(t *testing.T) {
	tests := []struct {
		reason, source string
		want           bool
	}{
		{"another key", `return obj.status.x`, false},
		{"the key", `return obj.spec`, true},
		{"the key in brackets", `return obj["spec"]`, true},
		{"a computed key", `local k = "s" return obj[k .. "pec"]`, true},
		{"obj handed on", `return type(obj)`, true},
		{"all globals", `return _G`, true},
	}
	for _, test := range tests {
		m := newMachine(time.Now)
		script := compile(t, test.source)
		env := m.globals()
		env.RawSetString(inputName, m.input(script, map[string]any{"spec": "x", "status": map[string]any{}}))
		got := m.state.GetField(m.state.GetField(env, inputName), "spec").String() == "x"
		if got != test.want {
			t.Errorf("%s: spec handed over is %v, want %v", test.reason, got, test.want)
		}
	}
}

func TestConcurrentRuns(t *testing.T) {
	r := New(Options{})
	script := compile(t, `string.x = obj.n; local t = {} for i = 1, 100 do t[i] = i .. obj.n end return {r = table.concat(t):sub(-3) .. string.x}`)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			n := fmt.Sprint(i)
			for range 50 {
				out, err := r.Run(t.Context(), script, map[string]any{"n": n})
				if want := "00" + n + n; err != nil || out.Fields["r"] != want {
					t.Errorf("got %q, %v, want %q", out.Fields["r"], err, want)
				}
			}
		})
	}
	group.Wait()
}

func FuzzRun(f *testing.F) {
	for _, seed := range []string{
		`return {status = "Healthy"}`,
		`local t = {} for i = 1, #obj.status.l do t[i] = obj.status.l[i] .. "x" end return {message = table.concat(t, ",")}`,
		`for k, v in pairs(obj) do if type(v) == "table" then return {message = k:gsub("(%a)", "%1%1")} end end`,
		`local ok, e = pcall(error, "x") return {message = e, n = select("#", unpack({1, 2}))}`,
		`return {m = ("%5.2f %s"):format(1, "a"):rep(3):upper():find("(%d)", 2)}`,
		`t = {[1] = 2, x = {}} t.x[t[1]], t.y = os.date("%c", 0), os.time{year=2000, month=1, day=1}`,
		`goto a ::a:: return`,
		`while true do table.sort({3, 2, 1}, function(a, b) return a .. b end) end`,
	} {
		f.Add(seed)
	}
	r := New(Options{Limits: Limits{Steps: 20_000, Bytes: 1 << 20}})
	input := map[string]any{"status": map[string]any{"l": []any{"a", int64(1), true, nil}}}
	f.Fuzz(func(t *testing.T, source string) {
		script, err := Compile("fuzz.lua", source)
		if err != nil {
			return
		}
		// Any outcome and any error will do; a panic or a hang will not.
		_, _ = r.Run(t.Context(), script, input)
	})
}
