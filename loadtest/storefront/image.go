package storefront

import (
	"bytes"
	"fmt"
	stdimage "image"
	"image/color"
	"image/png"
	"math"
	"strings"
	"sync"
)

// shape is what a category's products look like.
type shape uint8

const (
	shapeLamp shape = iota
	shapeMug
	shapeChair
	shapePlanter
	shapeClock
	shapeBlanket
)

const favicon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#26443b"/>` +
	`<path d="M16 5l6 9h-3l5 7H8l5-7h-3zM14.5 21h3v6h-3z" fill="#f2c57c"/></svg>`

// palettes are background, main colour, second colour.
var palettes = [][3]string{
	{"#f6ead7", "#c8553d", "#8f3a2a"},
	{"#e3efe9", "#2f6f5e", "#1f4a3f"},
	{"#e8edf6", "#41619e", "#2b4271"},
	{"#f8f0dc", "#d79a2b", "#9a6a14"},
	{"#f2e6ee", "#94527f", "#653656"},
	{"#eaf0e0", "#6d8b3c", "#4a6127"},
}

// image makes a product's pictures once, when they are first asked for.
type image struct {
	svgOnce, pngOnce sync.Once
	svgBody, pngBody []byte
}

func (i *image) svg(p *Product) []byte {
	i.svgOnce.Do(func() { i.svgBody = draw(p) })
	return i.svgBody
}

func (i *image) png(p *Product) []byte {
	i.pngOnce.Do(func() { i.pngBody = photograph(p) })
	return i.pngBody
}

func (p *Product) palette() [3]string { return palettes[p.seed>>48%uint64(len(palettes))] }

// vary returns a number from lo to hi that belongs to the product and to n.
func (p *Product) vary(n uint, lo, hi int) int {
	return lo + int(p.seed>>(n*5)%uint64(hi-lo+1))
}

// draw makes the SVG: 400 by 300.
func draw(p *Product) []byte {
	c := p.palette()
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 300" role="img" aria-label="%s">`, p.Name)
	fmt.Fprintf(&b, `<rect width="400" height="300" fill="%s"/>`, c[0])
	fmt.Fprintf(&b, `<circle cx="%d" cy="%d" r="%d" fill="#fff" opacity=".55"/>`, p.vary(0, 130, 270), p.vary(1, 110, 150), p.vary(2, 85, 120))
	b.WriteString(`<ellipse cx="200" cy="256" rx="105" ry="10" fill="#000" opacity=".08"/>`)
	w := p.vary(3, -14, 14)
	switch p.Category.shape {
	case shapeLamp:
		fmt.Fprintf(&b, `<path d="M%d 130L165 60h70L%d 130z" fill="%s"/>`, 130-w, 270+w, c[1])
		fmt.Fprintf(&b, `<path d="M195 130h10v112h-10z" fill="%s"/><rect x="%d" y="240" width="%d" height="14" rx="7" fill="%s"/>`, c[2], 155-w, 90+2*w, c[2])
	case shapeMug:
		fmt.Fprintf(&b, `<path d="M255 130a42 %d 0 0 1 0 84" fill="none" stroke="%s" stroke-width="16"/>`, 42+w/2, c[2])
		fmt.Fprintf(&b, `<path d="M%d 100h%dv118a34 34 0 0 1-34 34h-%da34 34 0 0 1-34-34z" fill="%s"/>`, 135-w, 125+w, 57+w, c[1])
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="12" fill="%s" opacity=".6"/>`, 135-w, p.vary(4, 140, 190), 125+w, c[0])
	case shapeChair:
		fmt.Fprintf(&b, `<rect x="145" y="%d" width="16" height="%d" rx="6" fill="%s"/>`, 62-w, 192+w, c[2])
		fmt.Fprintf(&b, `<rect x="240" y="170" width="16" height="84" rx="6" fill="%s"/>`, c[2])
		fmt.Fprintf(&b, `<rect x="145" y="%d" width="22" height="84" rx="10" fill="%s"/><rect x="138" y="160" width="126" height="20" rx="10" fill="%s"/>`, 62-w, c[1], c[1])
	case shapePlanter:
		for n := range 5 {
			x := 160 + n*20
			fmt.Fprintf(&b, `<path d="M200 176Q%d %d %d %d" fill="none" stroke="#4d7c4a" stroke-width="10" stroke-linecap="round"/>`, x, 120+w, x+(n-2)*22, 66+n%2*24+w)
		}
		fmt.Fprintf(&b, `<path d="M140 168h120l-%d 86h-%dz" fill="%s"/><rect x="132" y="158" width="136" height="20" rx="6" fill="%s"/>`, 18+w/2, 84-w, c[1], c[2])
	case shapeClock:
		fmt.Fprintf(&b, `<circle cx="200" cy="156" r="%d" fill="%s"/><circle cx="200" cy="156" r="%d" fill="#fffdf7"/>`, 92+w/3, c[1], 78+w/3)
		for n := range 12 {
			sin, cos := math.Sincos(float64(n) * math.Pi / 6)
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="4" fill="%s"/>`, 200+64*sin, 156-64*cos, c[2])
		}
		fmt.Fprintf(&b, `<path d="M200 156V%d M200 156L%d 176" stroke="%s" stroke-width="8" stroke-linecap="round"/>`, 106+w, 240+w, c[2])
	case shapeBlanket:
		fmt.Fprintf(&b, `<rect x="%d" y="92" width="%d" height="160" rx="12" fill="%s"/>`, 112-w, 176+2*w, c[1])
		for n := range 4 {
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s" opacity=".%d"/>`, 112-w, 112+n*36, 176+2*w, 6+p.vary(uint(4+n), 0, 10), c[0], 4+n)
		}
	}
	b.WriteString(`</svg>`)
	return []byte(b.String())
}

const (
	photoWidth  = 480
	photoHeight = 360
)

// photograph makes the PNG: soft light over woven colour, with the grain that keeps real photos from compressing to nothing.
func photograph(p *Product) []byte {
	c := p.palette()
	back, fore, dark := rgb(c[0]), rgb(c[1]), rgb(c[2])
	img := stdimage.NewNRGBA(stdimage.Rect(0, 0, photoWidth, photoHeight))
	pix := img.Pix
	angle := float64(p.vary(0, 10, 80)) * math.Pi / 180
	sin, cos := math.Sincos(angle)
	step := float64(p.vary(1, 26, 60))
	grain := p.seed | 1
	for y := range photoHeight {
		for x := range photoWidth {
			// The weave: two waves across each other.
			u := float64(x)*cos + float64(y)*sin
			v := float64(y)*cos - float64(x)*sin
			t := 0.5 + 0.25*math.Sin(u/step*math.Pi) + 0.25*math.Sin(v/step*math.Pi*1.6)
			// The light: from the upper left, fading.
			dx, dy := float64(x)/photoWidth-0.35, float64(y)/photoHeight-0.3
			light := 1.12 - 0.75*(dx*dx+dy*dy)
			grain ^= grain << 13
			grain ^= grain >> 7
			grain ^= grain << 17
			noise := float64(grain%9) - 4
			pix[0] = tone(mix3(back.R, fore.R, dark.R, t)*light + noise)
			pix[1] = tone(mix3(back.G, fore.G, dark.G, t)*light + noise)
			pix[2] = tone(mix3(back.B, fore.B, dark.B, t)*light + noise)
			pix[3] = 255
			pix = pix[4:]
		}
	}
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestSpeed} // grain hardly compresses anyway
	if err := encoder.Encode(&b, img); err != nil {
		panic("BUG: cannot encode a picture: " + err.Error())
	}
	return b.Bytes()
}

// mix3 goes from a over b to c while t goes from 0 to 1.
func mix3(a, b, c uint8, t float64) float64 {
	if t < 0.5 {
		return float64(a) + (float64(b)-float64(a))*2*t
	}
	return float64(b) + (float64(c)-float64(b))*(2*t-1)
}

func tone(v float64) uint8 { return uint8(min(max(v, 0), 255)) }

func rgb(hex string) color.NRGBA {
	var r, g, b uint8
	if _, err := fmt.Sscanf(hex, "#%02x%02x%02x", &r, &g, &b); err != nil {
		panic("BUG: bad colour " + hex)
	}
	return color.NRGBA{R: r, G: g, B: b, A: 255}
}
