package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metricsql"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd/access"
	"serverherd/herd/config"
	"serverherd/places/google/googletest"
)

const grafana = "console/grafana/"

// series are the metrics that Prometheus has: by name, the values of each label.
type series map[string]map[string][]string

// targetLabels are on every series that Prometheus scrapes.
var targetLabels = map[string][]string{"job": {"herd"}, "instance": nil}

// newSeries has what Prometheus itself adds.
func newSeries() series { return series{"up": {}} }

// scrape adds a server's page.
func (s series) scrape(t *testing.T, console string) {
	t.Helper()
	r, err := http.Get("http://" + console + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if kind := r.Header.Get("Content-Type"); r.StatusCode != 200 || !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
		t.Fatalf("%s: %s", r.Status, kind)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	for name, family := range families {
		for _, m := range family.Metric {
			switch family.GetType() {
			case dto.MetricType_HISTOGRAM:
				s.add(name+"_bucket", m.Label, "le")
				fallthrough
			case dto.MetricType_SUMMARY:
				s.add(name+"_sum", m.Label)
				s.add(name+"_count", m.Label)
			default:
				s.add(name, m.Label)
			}
		}
	}
}

func (s series) add(name string, labels []*dto.LabelPair, more ...string) {
	if s[name] == nil {
		s[name] = map[string][]string{}
	}
	for _, l := range labels {
		s[name][l.GetName()] = append(s[name][l.GetName()], l.GetValue())
	}
	for _, label := range more {
		s[name][label] = nil
	}
}

// problems is what is wrong with an expression: metrics, labels and values of labels that do not exist. The labels
// of its result are returned, too.
func (s series) problems(text string) (labels, problems []string) {
	text = strings.NewReplacer("$instance", ".*", "$__rate_interval", "5m").Replace(text)
	expr, err := metricsql.Parse(text)
	if err != nil {
		return nil, []string{err.Error()}
	}
	bad := func(format string, args ...any) {
		problems = append(problems, fmt.Sprintf(format, args...)+" in "+text)
	}
	known := map[string]bool{}
	for label := range targetLabels {
		known[label] = true
	}
	metricsql.VisitAll(expr, func(e metricsql.Expr) {
		m, ok := e.(*metricsql.MetricExpr)
		if !ok {
			return
		}
		for _, filters := range m.LabelFilterss {
			name := filters[0].Value
			has, ok := s[name]
			if filters[0].Label != "__name__" || !ok {
				bad("no metric %s", name)
				continue
			}
			for label := range has {
				known[label] = true
			}
			for _, f := range filters[1:] {
				values, ok := has[f.Label]
				if of, target := targetLabels[f.Label]; target {
					values, ok = of, true
				}
				wanted := []string{f.Value}
				if f.IsRegexp {
					wanted = strings.Split(f.Value, "|")
				}
				for _, v := range wanted {
					if !ok || !slices.Contains(values, v) && v != ".*" {
						bad("no %s=%q of %s", f.Label, v, name)
					}
				}
			}
		}
	})
	metricsql.VisitAll(expr, func(e metricsql.Expr) {
		if m, ok := e.(*metricsql.ModifierExpr); ok {
			for _, label := range m.Args {
				if !known[label] {
					bad("no label %s", label)
				}
			}
		}
	})
	if a, ok := outermost(expr).(*metricsql.AggrFuncExpr); ok {
		return a.Modifier.Args, problems
	}
	for label := range known {
		labels = append(labels, label)
	}
	return labels, problems
}

// outermost skips what keeps the labels of its operand.
func outermost(e metricsql.Expr) metricsql.Expr {
	for {
		switch x := e.(type) {
		case *metricsql.BinaryOpExpr:
			e = x.Left
		case *metricsql.FuncExpr:
			if x.Name != "histogram_quantile" {
				return e
			}
			e = x.Args[1]
		default:
			return e
		}
	}
}

var templateLabels = regexp.MustCompile(`\{\{ *(?:\$labels\.)?(\w+) *\}\}`)

// check reports what is wrong with an expression and with a text whose templates name its labels.
func (s series) check(expr string, texts ...string) []string {
	labels, problems := s.problems(expr)
	for _, text := range texts {
		for _, m := range templateLabels.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(labels, m[1]) {
				problems = append(problems, fmt.Sprintf("no label %s in the result of %s", m[1], expr))
			}
		}
	}
	return problems
}

// rules is a file of alert rules, with the fields that Prometheus knows.
type rules struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr, For    string
			Labels, Annotations map[string]string
		}
	}
}

func readYAML(t *testing.T, name string, into any) {
	t.Helper()
	f, err := os.Open(grafana + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatal(name, err)
	}
}

// dashboard is what the test reads of a dashboard in Grafana's classic model.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Inputs        []struct{ Name, Type, PluginID string } `json:"__inputs"`
	Requires      []struct {
		Type, ID, Name string
		Version        *string
	} `json:"__requires"`
	Annotations struct{ List []struct{ Expr string } }
	Templating  struct {
		List []struct{ Name, Definition string }
	}
	Panels []struct {
		ID                       int
		Type, Title, Description string
		GridPos                  struct{ X, Y, W, H int }
		Datasource               struct{ UID string }
		Targets                  []struct {
			Expr, LegendFormat, RefID string
			Datasource                struct{ UID string }
		}
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile(grafana + "dashboard.json")
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Every metric, label and state in the dashboard and the alert rules exists in a herd of real processes.
func TestDashboardAndAlertsOfAHerd(t *testing.T) {
	t.Parallel()
	h, listeners := processtest.NewHerd(t, "[storage]\ndir = \"journal\"\n[places]\nprovider = \"google-legacy\"\n"+
		"base_url = \"http://127.0.0.1:1\"\n[jetstream]\nurl = \"nats://127.0.0.1:1\"\nmode = \"ask\"\n"+
		"[clients]\ntokens = \"tokens.toml\"\nopen = true\ntls = \"optional\"\n", "Alford", "Hamilton", "Holiday")
	h.Servers[0].Bridge = true
	h.Write(h.Servers...)
	writeTokens(t, filepath.Join(h.Dir, "tokens.toml"), "", token("reader", access.Read))
	if out, errOut, code := h.Command("", "cert"); code != 0 {
		t.Fatal(out, errOut)
	}
	h.Env = []string{"GOOGLE_PLACES_API_KEY=" + googletest.Key}
	for _, s := range h.Servers {
		h.Start(s.Name, listeners[s.Name]...)
	}
	h.UntilLive()
	h.Ask("Alford", "IAMAT kiwi +1+2 5\nWHATSAT kiwi 1 1\n")
	h.UntilEqual(1)
	d := readDashboard(t)
	var r rules
	readYAML(t, "alerts.yml", &r)
	var problems []string
	// A neighbor's clock is known after some PINGs.
	processtest.Eventually(t, "clocks are known", func() bool {
		return !slices.ContainsFunc(h.Servers, func(s config.Server) bool {
			for _, l := range h.Status(s.Name).Links {
				if l.Clock == nil {
					return true
				}
			}
			return false
		})
	})
	all := newSeries()
	for _, s := range h.Servers {
		all.scrape(t, s.Console)
	}
	n := 0
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			n++
			problems = append(problems, all.check(target.Expr, target.LegendFormat)...)
		}
	}
	for _, a := range d.Annotations.List {
		if a.Expr != "" {
			problems = append(problems, all.check(a.Expr)...)
		}
	}
	for _, v := range d.Templating.List {
		m := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`).FindStringSubmatch(v.Definition)
		if m == nil {
			t.Errorf("variable %s: %q", v.Name, v.Definition)
			continue
		}
		problems = append(problems, all.check(fmt.Sprintf("sum by (%s) (%s)", m[2], m[1]))...)
	}
	for _, g := range r.Groups {
		for _, rule := range g.Rules {
			n++
			problems = append(problems, all.check(rule.Expr, rule.Annotations["summary"])...)
		}
	}
	if n < 70 {
		t.Errorf("%d expressions", n)
	}
	for _, problem := range problems {
		t.Error(problem)
	}
	if u := h.Status("Alford").Process; u.CPU <= 0 || u.Resident == 0 || u.OpenFDs == 0 || u.MaxFDs == 0 {
		t.Errorf("process: %+v", u)
	}
	for name := range all {
		for label, values := range all[name] {
			if slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, "kiwi") }) {
				t.Errorf("%s: a client's id in the label %s", name, label)
			}
		}
	}
}

// What the check above finds.
func TestExpressionsAreChecked(t *testing.T) {
	all := series{"a_total": {"neighbor": {"Ball"}, "state": {"up", "down"}}, "b": {}, "h_bucket": {"le": nil}}
	for _, test := range []struct {
		expr, text string
		problem    string // its beginning; "" for none
	}{
		{`sum by (instance) (rate(a_total{state=~"up|down",instance=~"$instance"}[$__rate_interval]))`, "{{instance}}", ""},
		{`sum by (neighbor) (a_total) > 0 and b == 1`, "{{ $labels.neighbor }}", ""},
		{`histogram_quantile(0.99, sum by (job, le) (rate(h_bucket[5m])))`, "{{job}} p99", ""},
		{`a_total{job="herd"}`, "{{state}} {{instance}}", ""},
		{`c`, "", "no metric c"},
		{`b or sum(rate(c_total[5m]))`, "", "no metric c_total"},
		{`{state="up"}`, "", "no metric"},
		{`b{state="up"}`, "", `no state="up" of b`},
		{`a_total{state="Up"}`, "", `no state="Up" of a_total`},
		{`a_total{state=~"up|dwon"}`, "", `no state="dwon" of a_total`},
		{`b{job="other"}`, "", `no job="other" of b`},
		{`sum by (state) (b)`, "", "no label state"},
		{`b`, "{{neighbor}}", "no label neighbor"},
		{`sum by (state) (a_total)`, "{{instance}}", "no label instance"},
		{`sum(`, "", "unexpected token"},
	} {
		got := all.check(test.expr, test.text)
		if test.problem == "" && len(got) > 0 || test.problem != "" && (len(got) == 0 || !strings.Contains(got[0], test.problem)) {
			t.Errorf("%s with %q: %q, want %q", test.expr, test.text, got, test.problem)
		}
	}
}

// The rules have what Prometheus needs, and what a person needs at night.
func TestAlertRules(t *testing.T) {
	var r rules
	readYAML(t, "alerts.yml", &r)
	seen := map[string]bool{}
	for _, g := range r.Groups {
		if g.Name == "" {
			t.Error("a group without a name")
		}
		for _, rule := range g.Rules {
			if !regexp.MustCompile(`^Herd[A-Z]\w+$`).MatchString(rule.Alert) || seen[rule.Alert] || rule.Expr == "" {
				t.Errorf("%q, for the second time: %v, of %q", rule.Alert, seen[rule.Alert], rule.Expr)
			}
			seen[rule.Alert] = true
			if _, err := time.ParseDuration(rule.For); err != nil && rule.For != "" {
				t.Errorf("%s: %v", rule.Alert, err)
			}
			if s := rule.Labels["severity"]; s != "critical" && s != "warning" || len(rule.Labels) != 1 {
				t.Errorf("%s: labels %v", rule.Alert, rule.Labels)
			}
			summary, runbook := rule.Annotations["summary"], rule.Annotations["runbook"]
			if !regexp.MustCompile(`\{\{ \$labels\.(instance|herd) \}\}`).MatchString(summary) || len(rule.Annotations) != 2 {
				t.Errorf("%s: annotations %v", rule.Alert, rule.Annotations)
			}
			if len(strings.Fields(runbook)) < 15 || !strings.HasSuffix(runbook, ".") {
				t.Errorf("%s: the runbook says only %q", rule.Alert, runbook)
			}
		}
	}
	for _, name := range []string{"HerdServerDown", "HerdLinkDown", "HerdDiverged", "HerdFull", "HerdNotReady", "HerdJournalFailing", "HerdBridgeDown",
		"HerdBridgeRefused", "HerdAsksFailing", "HerdLogErrors", "HerdLoopLag", "HerdPlacesBreakerOpen", "HerdPlacesBudget", "HerdClockWrong", "HerdDuplicateName", "HerdConfigDiffers"} {
		if !seen[name] {
			t.Errorf("no rule %s", name)
		}
	}
}

// The dashboard is one that Grafana imports: a data source to choose, and panels that do not overlap.
func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	const source = "DS_PROMETHEUS"
	if d.UID == "" || d.Title == "" || d.SchemaVersion < 38 {
		t.Errorf("uid %q, title %q, schema %d", d.UID, d.Title, d.SchemaVersion)
	}
	if len(d.Inputs) != 1 || d.Inputs[0].Name != source || d.Inputs[0].Type != "datasource" || d.Inputs[0].PluginID != "prometheus" {
		t.Errorf("inputs %v", d.Inputs)
	}
	required := map[string]bool{"row": true}
	for _, r := range d.Requires {
		required[r.ID] = r.Type == "panel"
	}
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || !required[p.Type] {
			t.Errorf("panel %d %q of type %q", p.ID, p.Title, p.Type)
		}
		ids[p.ID] = true
		if g := p.GridPos; g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
			t.Errorf("%s is at %+v", p.Title, g)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s is on %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || len(p.Targets) == 0 || p.Datasource.UID != "${"+source+"}" {
			t.Errorf("%s: description %q, %d targets, data source %q", p.Title, p.Description, len(p.Targets), p.Datasource.UID)
		}
		refs := map[string]bool{}
		for _, target := range p.Targets {
			if refs[target.RefID] || target.Datasource.UID != p.Datasource.UID {
				t.Errorf("%s: target %q of %q", p.Title, target.RefID, target.Datasource.UID)
			}
			refs[target.RefID] = true
		}
	}
}

// The example scrapes the servers of the repository's herd.toml.
func TestPrometheusExample(t *testing.T) {
	var example struct {
		Global        map[string]string
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			JobName       string `yaml:"job_name"`
			ScrapeTimeout string `yaml:"scrape_timeout"`
			StaticConfigs []struct {
				Targets []string
				Labels  map[string]string
			} `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	readYAML(t, "prometheus.yml", &example)
	if len(example.ScrapeConfigs) != 1 || !slices.Contains(targetLabels["job"], example.ScrapeConfigs[0].JobName) {
		t.Fatalf("%+v", example.ScrapeConfigs)
	}
	for _, name := range example.RuleFiles {
		if _, err := os.Stat(grafana + name); err != nil {
			t.Error(err)
		}
	}
	got := map[string]string{}
	for _, s := range example.ScrapeConfigs[0].StaticConfigs {
		got[s.Labels["instance"]] = strings.Join(s.Targets, " ")
	}
	cfg, err := config.Load("../../herd.toml", config.Resources{Descriptors: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range cfg.Servers {
		if got[s.Name] != s.Console {
			t.Errorf("%s is scraped at %q, want %s", s.Name, got[s.Name], s.Console)
		}
	}
	if len(got) != len(cfg.Servers) {
		t.Errorf("%v", got)
	}
}
