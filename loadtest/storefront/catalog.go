package storefront

import (
	"fmt"
	"strings"

	"weir/loadtest/selfcheck"
)

// Category is a shelf of the shop.
type Category struct {
	ID       int // from 1
	Name     string
	Blurb    string
	Products []*Product
	shape    shape
}

// Slug names the category in URLs.
func (c *Category) Slug() string { return slug(c.Name) }

// Path is the category's page.
func (c *Category) Path() string { return "/category/" + c.Slug() }

// Tag is the category's surrogate key.
func (c *Category) Tag() string { return fmt.Sprintf("category-%d", c.ID) }

// Product is one article.
type Product struct {
	ID       int // from 1
	Name     string
	Text     string
	Cents    int
	Was      int // the former price in cents, 0 when it did not change
	Stars    int // tenths, 35 to 50
	Reviews  int
	Category *Category
	seed     uint64
}

// Path is the product's page.
func (p *Product) Path() string { return fmt.Sprintf("/product/%d-%s", p.ID, slug(p.Name)) }

// Drawing is the product's small picture.
func (p *Product) Drawing() string { return fmt.Sprintf("/images/product-%d.svg", p.ID) }

// Photo is the product's large picture.
func (p *Product) Photo() string { return fmt.Sprintf("/images/product-%d.png", p.ID) }

// Tag is the product's surrogate key.
func (p *Product) Tag() string { return fmt.Sprintf("product-%d", p.ID) }

// Price in the shop's currency.
func (p *Product) Price() string { return euros(p.Cents) }

// WasPrice is the former price, empty when it did not change.
func (p *Product) WasPrice() string {
	if p.Was == 0 {
		return ""
	}
	return euros(p.Was)
}

// Rating is Stars as text.
func (p *Product) Rating() string { return fmt.Sprintf("%d.%d", p.Stars/10, p.Stars%10) }

func euros(cents int) string { return fmt.Sprintf("€ %d.%02d", cents/100, cents%100) }

func slug(s string) string { return strings.ReplaceAll(strings.ToLower(s), " ", "-") }

// assortment is everything that the shop sells. It does not change.
type assortment struct {
	categories []*Category
	products   []Product
}

var catalog = makeCatalog()

var woods = []string{"Alder", "Birch", "Cedar", "Hazel", "Juniper", "Larch", "Maple", "Rowan"}

const productsPerCategory = 8

func makeCatalog() *assortment {
	kinds := []struct {
		name, blurb string
		shape       shape
		articles    [productsPerCategory]string
		cents       int
	}{
		{"Lamps", "Warm light for late pages.", shapeLamp, [8]string{"desk lamp", "floor lamp", "reading light", "pendant", "wall light", "lantern", "night light", "table lamp"}, 6900},
		{"Mugs", "Stoneware that keeps its heat.", shapeMug, [8]string{"mug", "espresso cup", "tea bowl", "latte cup", "travel mug", "camp mug", "soup mug", "tall mug"}, 1800},
		{"Chairs", "Made to be sat on for years.", shapeChair, [8]string{"chair", "stool", "bench chair", "armchair", "bar stool", "folding chair", "side chair", "desk chair"}, 18900},
		{"Planters", "A good home for roots.", shapePlanter, [8]string{"planter", "herb pot", "window box", "hanging pot", "bonsai tray", "tall planter", "seed tray", "cactus pot"}, 2900},
		{"Clocks", "They tell the time, and fresh from stale.", shapeClock, [8]string{"wall clock", "mantel clock", "alarm clock", "kitchen clock", "station clock", "desk clock", "moon clock", "sundial"}, 5400},
		{"Blankets", "Wool, woven slowly.", shapeBlanket, [8]string{"throw", "blanket", "plaid", "quilt", "picnic rug", "shawl", "baby blanket", "bedspread"}, 9900},
	}
	a := &assortment{products: make([]Product, 0, len(kinds)*productsPerCategory)}
	for i, k := range kinds {
		c := &Category{ID: i + 1, Name: k.name, Blurb: k.blurb, shape: k.shape}
		a.categories = append(a.categories, c)
		for j, article := range k.articles {
			id := len(a.products) + 1
			seed := uint64(selfcheck.SeedOf("product", uint64(id)))
			p := Product{
				ID:       id,
				Name:     woods[(j+3*i)%len(woods)] + " " + article,
				Cents:    k.cents*(60+int(seed%90))/100/100*100 + 90,
				Stars:    35 + int(seed>>8%16),
				Reviews:  3 + int(seed>>16%240),
				Category: c,
				seed:     seed,
			}
			if seed>>24%4 == 0 {
				p.Was = p.Cents * 5 / 4 / 100 * 100
			}
			p.Text = fmt.Sprintf("The %s comes from a workshop of %d people and is finished by hand. "+
				"It ships in recycled card, can be repaired, and carries a %d year guarantee.",
				strings.ToLower(p.Name), 3+seed>>32%20, 2+seed>>40%9)
			a.products = append(a.products, p)
			c.Products = append(c.Products, &a.products[len(a.products)-1])
		}
	}
	return a
}

func (a *assortment) category(slug string) *Category {
	for _, c := range a.categories {
		if c.Slug() == slug {
			return c
		}
	}
	return nil
}

func (a *assortment) product(id int) *Product {
	if id < 1 || id > len(a.products) {
		return nil
	}
	return &a.products[id-1]
}

// search finds the products that hold every word of q in their name or category.
func (a *assortment) search(q string) (found []*Product) {
	words := strings.Fields(strings.ToLower(q))
	for i := range a.products {
		p := &a.products[i]
		text := strings.ToLower(p.Name + " " + p.Category.Name)
		all := true
		for _, w := range words {
			all = all && strings.Contains(text, w)
		}
		if all {
			found = append(found, p)
		}
	}
	return found
}
