package dialect

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"weir/policy"
)

// sent is a request as a plugin sends it: method, target, fields.
type sent struct {
	plugin string
	method string
	target string
	fields []string
	want   string // what it comes to within shop.example, or the status and a part of the text
}

var magento = "X-Magento-Tags-Pattern: "

// The requests are those of the plugins' own code and VCL files, at their present
// and older releases.
var plugins = []sent{
	{"Magento 2, product and category", "PURGE", "/", []string{magento + "((^|,)cat_p_1(,|$))|((^|,)cat_c_2(,|$))"}, "tags=cat_c_2,cat_p_1 within=shop.example"},
	{"Magento 2, one tag", "PURGE", "/", []string{magento + "((^|,)cat_p_1(,|$))"}, "tags=cat_p_1 within=shop.example"},
	{"Magento 2, all", "PURGE", "/", []string{magento + ".*"}, "hosts=shop.example"},
	{"Magento 2 at a path", "PURGE", "/index.html", []string{magento + "((^|,)store(,|$))"}, "urls=//shop.example/index.html tags=store within=shop.example"},
	{"Magento 2, pool", "PURGE", "/", []string{"X-Pool: cat"}, "400 policies[].tags.headers"},
	{"Magento 2, tags and pool", "PURGE", "/", []string{magento + "((^|,)cat_p_1(,|$))", "X-Pool: cat"}, "400 X-Pool"},
	{"Magento 2 with xkey", "PURGE", "/", []string{"X-Magento-Tags-Pattern: cat_p_1|cat_p_2|cat_p_13"}, "tags=cat_p_1,cat_p_13,cat_p_2 within=shop.example"},

	{"Proxy Cache Purge, page", "PURGE", "/hello-world/", []string{"X-Purge-Method: default"}, "urls=//shop.example/hello-world/"},
	{"Proxy Cache Purge, all", "PURGE", "/.*", []string{"X-Purge-Method: regex"}, "hosts=shop.example"},
	{"Proxy Cache Purge, folder", "PURGE", "/category/news/.*", []string{"X-Purge-Method: regex"}, "prefixes=//shop.example/category/news/"},
	{"Proxy Cache Purge, any query", "PURGE", "/wp-json/wp/v2/posts", []string{"X-Purge-Method: ban-regex", `X-Ban-Regex: ^/wp-json/wp/v2/posts($|/$|\?.*|/\?.*)`}, "urls=//shop.example/wp-json/wp/v2/posts,//shop.example/wp-json/wp/v2/posts/ prefixes=//shop.example/wp-json/wp/v2/posts/?,//shop.example/wp-json/wp/v2/posts?"},
	{"Proxy Cache Purge, tags", "PURGE", "/blog/", []string{"X-Purge-Method: tags", "X-Cache-Tags-Pattern: (^|,)(p-12|c-3)(,|$)"}, "tags=c-3,p-12 within=shop.example"},
	{"Proxy Cache Purge, tags by word", "PURGE", "/", []string{"X-Purge-Method: tags", `X-Cache-Tags-Pattern: \bp-12\b`}, "tags=p-12 within=shop.example"},
	{"WP Rocket, exact", "PURGE", "/a/?x=1", []string{"X-Purge-Method: exact"}, "urls=//shop.example/a/?x=1"},
	{"Hummingbird", "PURGE", "/shop", []string{"X-Purge-Method: regex"}, "prefixes=//shop.example/shop"},
	{"Varnish HTTP Purge 2", "PURGE", "/.*", nil, "hosts=shop.example"},
	{"W3 Total Cache, page", "PURGE", "/hello-world/?p=1", nil, "urls=//shop.example/hello-world/?p=1"},
	{"W3 Total Cache, folder", "PURGE", "/news/(.*)", nil, "prefixes=//shop.example/news/"},
	{"nginx, wildcard", "PURGE", "/images/*", nil, "prefixes=//shop.example/images/"},
	{"nginx, all", "PURGE", "/*", nil, "hosts=shop.example"},
	{"nginx-helper, PURGE", "PURGE", "/page", nil, "urls=//shop.example/page"},

	{"Drupal varnish_purger, tags", "BAN", "/", []string{"Cache-Tags: node:1 node:2"}, "tags=node:1,node:2 within=shop.example"},
	{"Drupal varnish_purger, pipes", "BAN", "/", []string{"Cache-Tags: config:user.role.anonymous|node:1|node_list"}, "tags=config:user.role.anonymous,node:1,node_list within=shop.example"},
	{"Drupal varnish_purger, URL", "BAN", "/blog/.*", nil, "prefixes=//shop.example/blog/"},
	{"Drupal purge_purger_http", "PURGE", "/", []string{"Purge-Cache-Tags: node:1"}, "tags=node:1 within=shop.example"},
	{"Drupal, tags by PURGE", "PURGE", "/", []string{"Cache-Tags: node:1"}, "tags=node:1 within=shop.example"},
	{"Drupal, older", "BAN", "/", []string{"X-Cache-Tags: (node:1|node:2)"}, "tags=node:1,node:2 within=shop.example"},
	{"Drupal, Lagoon", "URIBAN", "/node/1", nil, "prefixes=//shop.example/node/1"},
	{"Drupal, part of a URL", "BAN", "/.*projects.*", nil, "400 in the middle of a URL"},

	{"FOSHttpCache, BAN path", "BAN", "/", []string{"X-Host: .*", "X-Url: ^/news/.*", "X-Content-Type: .*"}, "prefixes=//shop.example/news/"},
	{"FOSHttpCache, BAN host", "BAN", "/", []string{`X-Host: ^(shop\.example)$`, "X-Url: .*", "X-Content-Type: .*"}, "hosts=shop.example"},
	{"FOSHttpCache, another host", "BAN", "/", []string{`X-Host: ^(shop.example|other.example)$`, "X-Url: .*"}, "403 other.example"},
	{"FOSHttpCache, content type", "BAN", "/", []string{"X-Host: .*", "X-Url: .*", "X-Content-Type: text/html"}, "400 Content-Type"},
	{"FOSHttpCache, BAN tags", "BAN", "/", []string{`X-Cache-Tags: (tag\-one|tag_two)(,.+)?$`, "X-Host: .*", "X-Url: .*", "X-Content-Type: .*"}, "tags=tag-one,tag_two within=shop.example"},
	{"FOSHttpCache 2, BAN tags", "BAN", "/", []string{"X-Cache-Tags: (^|,)(a|b)(,|$)", "X-Host: .*", "X-Url: .*", "X-Content-Type: .*"}, "tags=a,b within=shop.example"},
	{"FOSHttpCache, tags within a path", "BAN", "/", []string{"X-Cache-Tags: a", "X-Url: ^/news"}, "400 cannot both"},
	{"FOSHttpCache, PURGEKEYS soft", "PURGEKEYS", "/", []string{"xkey-softpurge: c52 l2"}, "tags=c52,l2 within=shop.example soft"},
	{"FOSHttpCache, PURGEKEYS hard", "PURGEKEYS", "/", []string{"xkey-purge: c52 l2"}, "tags=c52,l2 within=shop.example"},
	{"FOSHttpCache, PURGEKEYS both", "PURGEKEYS", "/", []string{"xkey-purge: c52", "xkey-softpurge: l2"}, "tags=c52 within=shop.example; tags=l2 within=shop.example soft"},
	{"FOSHttpCache, PURGEKEYS bare", "PURGEKEYS", "/", nil, "400 xkey-purge"},
	{"Symfony, tags", "PURGE", "/", []string{"X-Cache-Tags: a,b"}, "tags=a,b within=shop.example"},
	{"eZ Platform, older", "PURGE", "/", []string{"key: location-12"}, "tags=location-12 within=shop.example"},
	{"eZ Publish", "BAN", "/", []string{"X-Location-Id: (1|2)"}, "400 X-Location-Id"},

	{"TYPO3 varnish (mittwald)", "BAN", "/", []string{"X-Host: shop.example", "X-Url: /news/.*"}, "prefixes=//shop.example/news/"},
	{"TYPO3 higidi, tags", "PURGE", "/", []string{"X-Cache-Tags: (pages_12)(,.+)?$", "X-TYPO3-Sitename: abc123"}, "tags=pages_12 within=shop.example"},
	{"TYPO3 higidi, all", "PURGE", "/", []string{"X-Varnish-Purge-All: 1", "X-TYPO3-Sitename: abc123"}, "hosts=shop.example"},
	{"TYPO3 snowflake, all", "BAN", "/", []string{"Varnish-Ban-All: 1", "Varnish-Ban-TYPO3-Sitename: abc"}, "hosts=shop.example"},
	{"TYPO3 snowflake, page", "BAN", "/", []string{"Varnish-Ban-TYPO3-Pid: 12", "Varnish-Ban-TYPO3-Sitename: abc"}, "400 Typo3-Pid"},

	{"Shopware 6, tags", "PURGE", "/", []string{"xkey: product-1 category-2"}, "tags=product-1,category-2 within=shop.example"},
	{"Shopware 6, URL", "PURGE", "/detail/abc", nil, "urls=//shop.example/detail/abc"},
	{"Shopware 6, all", "BAN", "/", nil, "hosts=shop.example"},

	{"Fastly, URL", "PURGE", "/a", []string{"Fastly-Key: k", "Fastly-Soft-Purge: 1"}, "urls=//shop.example/a soft"},
	{"Fastly, keys", "PURGE", "/", []string{"Surrogate-Key: a b,c"}, "tags=a,b,c within=shop.example"},
	{"xkey", "PURGE", "/", []string{"xkey-purge: a"}, "tags=a within=shop.example"},
	{"soft switched off", "PURGE", "/a", []string{"Soft-Purge: 0"}, "urls=//shop.example/a"},
}

// What nobody can carry out is refused, whatever else the request holds.
var refused = []sent{
	{"unknown field", "PURGE", "/a", []string{"X-Purge-Everything-Below: 1"}, "400 X-Purge-Everything-Below is not understood"},
	{"unknown field with an underscore", "PURGE", "/a", []string{"X_Purge_Deep: 1"}, "400 not understood"},
	{"unknown ban field", "PURGE", "/a", []string{"Ban-Query: x"}, "400 not understood"},
	{"unknown tags field", "PURGE", "/", []string{"X-My-Tags: a"}, "400 not understood"},
	{"unknown method of purging", "PURGE", "/a", []string{"X-Purge-Method: glob"}, "400 known: default, exact, regex"},
	{"two methods of purging", "PURGE", "/a", []string{"X-Purge-Method: regex", "X-Purge-Method: exact"}, "400 twice"},
	{"no tag", "PURGE", "/", []string{"Cache-Tags: "}, "400 names no tag"},
	{"tags without any", "PURGE", "/", []string{"X-Purge-Method: tags"}, "400 X-Cache-Tags-Pattern"},
	{"a prefix of tags", "PURGE", "/", []string{magento + "cat_p_.*"}, "400 part of a tag"},
	{"a prefix of tags, tied", "PURGE", "/", []string{magento + "(^|,)cat_p_"}, "400 begins so"},
	{"any digit", "PURGE", "/", []string{magento + "((^|,)cat_p_[0-9]+(,|$))"}, "400 regular expression"},
	{"a class that is not small", "PURGE", "/", []string{magento + "[^,]"}, "400 regular expression"},
	{"a broken pattern", "PURGE", "/", []string{magento + "((^|,)cat_p_1"}, "400 regular expression"},
	{"any character", "PURGE", "/", []string{"X-Cache-Tags: (a.|b)"}, "400 dot"},
	{"look ahead", "PURGE", "/", []string{"X-Cache-Tags: a(?!b)"}, "400 regular expression"},
	{"case does not count", "PURGE", "/", []string{"X-Cache-Tags: (?i)abc"}, "400 regular expression"},
	{"too many", "PURGE", "/", []string{"X-Cache-Tags: " + strings.Repeat("(a|b|cc|dd)", 8)}, "400 too many"},
	{"only boundaries", "PURGE", "/", []string{magento + "(^|,)(,|$)"}, "400 regular expression"},
	{"an asterisk inside", "PURGE", "/a/*/b", nil, "400 at the end only"},
	{"a path that is optional", "BAN", "/", []string{"X-Url: /a?x=1"}, `400 \?`},
	{"the end of URLs", "BAN", "/", []string{`X-Url: \.css$`}, "400 begin with the path"},
	{"a part of a host", "BAN", "/", []string{"X-Host: .*example", "X-Url: .*"}, "400 part of a host"},
	{"regex without its field", "PURGE", "/a", []string{"X-Purge-Method: ban-regex"}, "400 X-Ban-Regex"},
	{"a regular expression with a query", "PURGE", "/a/.*?x=1", []string{"X-Purge-Method: regex"}, "400 in the middle"},
	{"another method", "PURGEALL", "/", nil, "501 PURGEALL is not understood"},
	{"another ban", "FULLBAN", "/", nil, "501 FULLBAN"},
}

func read(s *sent, scope Scope, tagFields []string) string {
	r := Request{Method: s.method, Target: s.target, TagFields: tagFields, Fields: policy.Fields{
		{Name: "Host", Value: "shop.example"},
		{Name: "User-Agent", Value: "x"},
		{Name: "Accept", Value: "*/*"},
		{Name: "Connection", Value: "close"},
		{Name: "X-Forwarded-Host", Value: "h"},
		{Name: "Cache-Control", Value: "no-cache"},
	}}
	for _, f := range s.fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Fields = append(r.Fields, policy.Field{Name: name, Value: value})
	}
	m, err := Read(&r)
	if err != nil {
		return refusalText(err)
	}
	list, err := m.Requests(scope)
	if err != nil {
		return refusalText(err)
	}
	var out []string
	for _, q := range list {
		var parts []string
		for _, p := range []struct {
			name string
			list []string
		}{{"urls", q.URLs}, {"prefixes", q.Prefixes}, {"hosts", q.Hosts}, {"tags", q.Tags}} {
			if len(p.list) > 0 {
				parts = append(parts, p.name+"="+strings.Join(p.list, ","))
			}
		}
		if len(q.Tags) > 0 && len(q.Within) > 0 {
			parts = append(parts, "within="+strings.Join(q.Within, ","))
		}
		if q.All {
			parts = append(parts, "all")
		}
		if q.Soft {
			parts = append(parts, "soft")
		}
		out = append(out, strings.Join(parts, " "))
	}
	return strings.Join(out, "; ")
}

func refusalText(err error) string {
	var no *Refusal
	if !errors.As(err, &no) {
		return "no refusal: " + err.Error()
	}
	return fmt.Sprintf("%d %s", no.Status, no.Text)
}

func TestPlugins(t *testing.T) {
	for _, s := range append(plugins, refused...) {
		if !Purges(s.method) {
			t.Errorf("%s: %s would go to the origin", s.plugin, s.method)
		}
		got := read(&s, Scope{Host: "shop.example"}, policy.DefaultTagFields)
		status, part, _ := strings.Cut(s.want, " ")
		if len(status) == 3 && strings.Trim(status, "0123456789") == "" {
			if !strings.HasPrefix(got, status+" nothing was purged") || !strings.Contains(got, part) {
				t.Errorf("%s: %s %s %q\n got %s\nwant %s", s.plugin, s.method, s.target, s.fields, got, s.want)
			}
		} else if got != s.want {
			t.Errorf("%s: %s %s %q\n got %s\nwant %s", s.plugin, s.method, s.target, s.fields, got, s.want)
		}
	}
}

// How far a purge reaches is the sender's, whatever it names.
func TestScope(t *testing.T) {
	own := Scope{Host: "shop.example"}
	site := Scope{Host: "varnish", Hosts: []string{"shop.example", "www.shop.example"}}
	member := Scope{Host: "shop.example", Hosts: site.Hosts}
	token := Scope{Host: "shop.example", Anywhere: true}
	tags := []string{magento + "((^|,)cat_p_1(,|$))"}
	for _, c := range []struct {
		scope Scope
		sent
	}{
		{site, sent{method: "PURGE", target: "/", fields: tags, want: "tags=cat_p_1 within=shop.example,www.shop.example"}},
		{site, sent{method: "PURGE", target: "/", fields: []string{magento + ".*"}, want: "hosts=shop.example,www.shop.example"}},
		{site, sent{method: "PURGE", target: "/a", want: "urls=//shop.example/a,//www.shop.example/a"}},
		{member, sent{method: "PURGE", target: "/a", want: "urls=//shop.example/a"}},
		{member, sent{method: "PURGE", target: "/", fields: tags, want: "tags=cat_p_1 within=shop.example,www.shop.example"}},
		{member, sent{method: "BAN", target: "/", fields: []string{"X-Host: .*", "X-Url: /a.*"}, want: "prefixes=//shop.example/a,//www.shop.example/a"}},
		{member, sent{method: "BAN", target: "/", fields: []string{"X-Host: www.shop.example", "X-Url: /a.*"}, want: "prefixes=//www.shop.example/a"}},
		{own, sent{method: "PURGE", target: "/a", fields: []string{"X-Host: www.shop.example"}, want: "403 nothing was purged"}},
		{token, sent{method: "PURGE", target: "/", fields: tags, want: "tags=cat_p_1"}},
		{token, sent{method: "PURGE", target: "/", fields: []string{magento + ".*"}, want: "all"}},
		{token, sent{method: "PURGE", target: "/.*", want: "hosts=shop.example"}},
		{token, sent{method: "BAN", target: "/", fields: []string{"X-Host: .*", "X-Url: .*"}, want: "all"}},
		{token, sent{method: "BAN", target: "/", fields: []string{"X-Host: .*", "X-Url: /a/.*"}, want: "prefixes=/a/"}},
		{token, sent{method: "BAN", target: "/", fields: []string{"X-Host: .*", "X-Url: ^/a$"}, want: "400 nothing was purged: one URL on every host"}},
		{token, sent{method: "BAN", target: "/", fields: []string{"X-Host: other.example", "Cache-Tags: a"}, want: "tags=a within=other.example"}},
	} {
		if got := read(&c.sent, c.scope, policy.DefaultTagFields); got != c.want && !(c.want[0] == '4' && strings.HasPrefix(got, c.want)) {
			t.Errorf("%s %s %q from %+v\n got %s\nwant %s", c.method, c.target, c.fields, c.scope, got, c.want)
		}
	}
}

// A policy that reads tags from a field of its own is purged by that field; one
// that reads none has none to purge.
func TestTagFields(t *testing.T) {
	for _, c := range []struct {
		fields []string
		sent
	}{
		{[]string{"X-Pool"}, sent{method: "PURGE", target: "/", fields: []string{"X-Pool: cat"}, want: "tags=cat within=h"}},
		{[]string{"Typo3-Pid"}, sent{method: "BAN", target: "/", fields: []string{"Varnish-Ban-TYPO3-Pid: 12", "Varnish-Ban-TYPO3-Sitename: s"}, want: "tags=12 within=h"}},
		{[]string{"X-My-Tags"}, sent{method: "PURGE", target: "/", fields: []string{"X-My-Tags: a b"}, want: "tags=a,b within=h"}},
		{[]string{}, sent{method: "PURGE", target: "/", fields: []string{"Cache-Tags: a"}, want: "400 nothing was purged: the policy of this URL reads no tags (policies[].tags.headers is empty)"}},
	} {
		if got := read(&c.sent, Scope{Host: "h"}, c.fields); got != c.want {
			t.Errorf("%q with %q: %s, want %s", c.sent.fields, c.fields, got, c.want)
		}
	}
	if _, err := Read(&Request{Method: "PURGE", Target: "/", Body: true}); err == nil {
		t.Error("a body was passed over")
	}
}

// Methods of ordinary applications are not taken for purges.
func TestPurges(t *testing.T) {
	for _, m := range []string{"GET", "POST", "DELETE", "PROPFIND", "MKCOL", "REPORT", "REFRESH", "LOCK", "PATCH"} {
		if Purges(m) {
			t.Errorf("%s is taken for a purge", m)
		}
	}
	for _, m := range []string{"PURGE", "purge", "BAN", "PURGEKEYS", "URIBAN", "URLPURGE", "SOFTPURGE", "BANTAG", "Ban"} {
		if !Purges(m) {
			t.Errorf("%s would go to the origin", m)
		}
	}
}

// FuzzTags: what is understood names whole tags, of no characters that separate.
func FuzzTags(f *testing.F) {
	for _, s := range []string{"((^|,)cat_p_1(,|$))|((^|,)cat_c_2(,|$))", ".*", "a|b", `\ba\b`, "(a|b)(,.+)?$", "[ab]c", "a{2}", "x*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tags, _, err := tagsOf(s)
		if err != nil {
			return
		}
		for _, tag := range tags {
			if tag == "" || strings.ContainsAny(tag, marks+", ") {
				t.Errorf("%q names %q", s, tag)
			}
		}
		_, _ = urlsOf(s)
		_, _, _ = hostsOf(s)
	})
}
