package report

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"weir/loadtest/load"
)

// Size of a chart; the page scales it to its width.
const (
	chartWidth  = 27 * vg.Centimeter
	chartHeight = 10 * vg.Centimeter
)

// palette can be told apart by whoever does not see all colours (Okabe and Ito).
var palette = []color.Color{
	color.RGBA{R: 0, G: 114, B: 178, A: 255},
	color.RGBA{R: 213, G: 94, B: 0, A: 255},
	color.RGBA{R: 0, G: 158, B: 115, A: 255},
	color.RGBA{R: 204, G: 121, B: 167, A: 255},
	color.RGBA{R: 230, G: 159, B: 0, A: 255},
	color.RGBA{R: 86, G: 180, B: 233, A: 255},
}

var (
	ink  = color.RGBA{R: 60, G: 60, B: 67, A: 255}
	grid = color.RGBA{R: 205, G: 208, B: 215, A: 255}
	red  = color.RGBA{R: 200, G: 30, B: 45, A: 255}
)

// series is one line of a chart.
type series struct {
	name   string
	points plotter.XYs
	color  color.Color
	dots   bool
}

// chart is what is drawn.
type chart struct {
	title, x, y string
	logX, logY  bool
	ticksX      plot.Ticker
	ticksY      plot.Ticker
	series      []series
}

// svg draws it. An empty chart is an empty text.
func (c *chart) svg() (template.HTML, error) {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = c.title, c.x, c.y
	for _, s := range []*draw.TextStyle{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		s.Font.Variant, s.Color = "Sans", ink
	}
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.LineStyle.Color, axis.Tick.LineStyle.Color = ink, ink
	}
	if c.logX {
		p.X.Scale = plot.LogScale{}
	}
	if c.logY {
		p.Y.Scale = plot.LogScale{}
	}
	if c.ticksX != nil {
		p.X.Tick.Marker = c.ticksX
	}
	if c.ticksY != nil {
		p.Y.Tick.Marker = c.ticksY
	}
	p.Legend.Top, p.Legend.Left = true, c.logX
	g := plotter.NewGrid()
	g.Horizontal.Color, g.Vertical.Color = grid, grid
	p.Add(g)
	if err := c.add(p); err != nil {
		return "", err
	}
	p.Legend.Padding = vg.Points(3)
	if c.logY {
		p.Y.Max *= 4 // room for the legend
	} else {
		p.Y.Min = 0
	}
	canvas := vgsvg.New(chartWidth, chartHeight)
	p.Draw(draw.New(canvas))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return "", fmt.Errorf("cannot draw %q: %w", c.title, err)
	}
	_, rest, ok := bytes.Cut(b.Bytes(), []byte("<svg"))
	if !ok {
		return "", fmt.Errorf("cannot draw %q: it is no SVG", c.title)
	}
	return template.HTML("<svg role=\"img\"" + string(rest)), nil
}

func (c *chart) add(p *plot.Plot) error {
	for _, s := range c.series {
		if len(s.points) == 0 {
			continue
		}
		if s.dots {
			dots, err := plotter.NewScatter(s.points)
			if err != nil {
				return fmt.Errorf("cannot draw %q: %w", c.title, err)
			}
			dots.Color, dots.Radius, dots.Shape = s.color, vg.Points(3), draw.CircleGlyph{}
			p.Add(dots)
			p.Legend.Add(s.name, dots)
			continue
		}
		line, err := plotter.NewLine(s.points)
		if err != nil {
			return fmt.Errorf("cannot draw %q: %w", c.title, err)
		}
		line.Color, line.Width = s.color, vg.Points(1.6)
		p.Add(line)
		p.Legend.Add(s.name, line)
	}
	return nil
}

// percentiles is the curve of latency: every further nine takes the same width.
func percentiles(res *load.Result) *chart {
	c := &chart{title: "Latency by percentile", x: "percentile", logX: true, logY: true, ticksY: timeTicks{}}
	add := func(name string, curve []load.CurvePoint) {
		var points plotter.XYs
		for _, p := range curve {
			if p.Percent < 100 {
				points = append(points, plotter.XY{X: 100 / (100 - p.Percent), Y: max(p.US, 0.1)})
			}
		}
		c.series = append(c.series, series{name: name, points: points, color: palette[len(c.series)%len(palette)]})
	}
	add("all", res.Curve)
	if len(res.Tiers) > 1 {
		for _, t := range res.Tiers {
			add(t.Tier, t.Curve)
		}
	}
	ticks := plot.ConstantTicks{{Value: 1, Label: "0"}, {Value: 2, Label: "50"}}
	label := "9"
	for v := 10.0; v <= 1e5; v *= 10 {
		text := label + "0"
		if len(label) > 1 {
			text = label
			if len(label) > 2 {
				text = label[:2] + "." + label[2:]
			}
		}
		ticks = append(ticks, plot.Tick{Value: v, Label: text})
		label += "9"
	}
	c.ticksX = ticks
	return c
}

// throughput is the rate of answers over time, with the moments at which faults were found and purges done.
func throughput(res *load.Result) *chart {
	c := &chart{title: "Throughput", x: "seconds", y: "answers a second"}
	var rate, faults, purges plotter.XYs
	for _, s := range res.Timeline {
		rate = append(rate, plotter.XY{X: s.AtS, Y: s.Rate})
		if s.Faults > 0 {
			faults = append(faults, plotter.XY{X: s.AtS, Y: s.Rate})
		}
		if s.Purges > 0 {
			purges = append(purges, plotter.XY{X: s.AtS, Y: 0})
		}
	}
	c.series = []series{
		{name: "answers", points: rate, color: palette[0]},
		{name: "faults", points: faults, color: red, dots: true},
		{name: "purges", points: purges, color: palette[4], dots: true},
	}
	return c
}

// latencyOverTime shows when it was slow.
func latencyOverTime(res *load.Result) *chart {
	c := &chart{title: "Latency over time", x: "seconds", logY: true, ticksY: timeTicks{}}
	for i, line := range []struct {
		name string
		of   func(load.Slot) float64
	}{
		{"p50", func(s load.Slot) float64 { return s.P50US }},
		{"p99", func(s load.Slot) float64 { return s.P99US }},
		{"p999", func(s load.Slot) float64 { return s.P999US }},
		{"max", func(s load.Slot) float64 { return s.MaxUS }},
	} {
		var points plotter.XYs
		for _, s := range res.Timeline {
			if s.MaxUS > 0 {
				points = append(points, plotter.XY{X: s.AtS, Y: max(line.of(s), 0.1)})
			}
		}
		c.series = append(c.series, series{name: line.name, points: points, color: palette[i]})
	}
	return c
}

// timeTicks label microseconds on a logarithmic axis.
type timeTicks struct{}

// Ticks are those of powers of ten, with two and five between when there are few.
func (timeTicks) Ticks(low, high float64) []plot.Tick {
	steps := []float64{1}
	if math.Log10(high/low) < 3 {
		steps = []float64{1, 2, 5}
	}
	var out []plot.Tick
	for e := math.Floor(math.Log10(low)); e <= math.Ceil(math.Log10(high)); e++ {
		for _, step := range steps {
			if v := step * math.Pow(10, e); v >= low && v <= high {
				out = append(out, plot.Tick{Value: v, Label: Micros(v)})
			}
		}
	}
	return out
}
