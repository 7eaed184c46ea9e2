package storefront

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// cartCookie holds the cart as "12x1.7x2": product and amount.
const cartCookie = "cart"

const (
	cartLines  = 20 // different products in one cart
	cartAmount = 9  // of one product
)

// line is one product in a cart.
type line struct {
	Product *Product
	Amount  int
}

// Sum is the price of the line.
func (l line) Sum() string { return euros(l.Product.Cents * l.Amount) }

// readCart keeps what makes sense of a cookie; the rest came from somebody else.
func readCart(r *http.Request) (lines []line) {
	c, err := r.Cookie(cartCookie)
	if err != nil {
		return nil
	}
	for item := range strings.SplitSeq(c.Value, ".") {
		id, amount, _ := strings.Cut(item, "x")
		n, err := strconv.Atoi(id)
		m, err2 := strconv.Atoi(amount)
		p := catalog.product(n)
		if err != nil || err2 != nil || p == nil || m < 1 || m > cartAmount || len(lines) == cartLines {
			continue
		}
		lines = append(lines, line{p, m})
	}
	return lines
}

const privately = "private, no-store"

func (s *Shop) cart(w http.ResponseWriter, r *http.Request) {
	v := &view{Title: "Your cart", Body: "cart", Lines: readCart(r)}
	total := 0
	for _, l := range v.Lines {
		total += l.Product.Cents * l.Amount
	}
	v.Total = euros(total)
	sendUncached(w, html, privately, s.render(v))
}

func (s *Shop) addToCart(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", privately)
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	id, err := strconv.Atoi(r.FormValue("product"))
	p := catalog.product(id)
	if err != nil || p == nil {
		http.Error(w, "no such product", http.StatusBadRequest)
		return
	}
	lines := readCart(r)
	known := false
	for i := range lines {
		if lines[i].Product == p {
			known = true
			lines[i].Amount = min(lines[i].Amount+1, cartAmount)
		}
	}
	if !known && len(lines) < cartLines {
		lines = append(lines, line{p, 1})
	}
	var items []string
	for _, l := range lines {
		items = append(items, fmt.Sprintf("%dx%d", l.Product.ID, l.Amount))
	}
	http.SetCookie(w, &http.Cookie{
		Name: cartCookie, Value: strings.Join(items, "."),
		Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	http.Redirect(w, r, "/cart", http.StatusSeeOther)
}
