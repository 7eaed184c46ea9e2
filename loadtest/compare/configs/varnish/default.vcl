# Varnish for the comparison; its parameters stand in parameters.txt.
vcl 4.1;
{{- if .Tags}}

# Purges by tag: from the package varnish-modules.
import xkey;
{{- end}}

backend app {
    .host = "{{.OriginHost}}";
    .port = "{{.OriginPort}}";
    # No health checks; keep-alive is the default.
    .max_connections = 1024;
}

sub vcl_recv {
{{- if .Tags}}
    if (req.method == "PURGETAG") {
        set req.http.n = xkey.purge(req.http.xkey);
        return (synth(200, "Purged " + req.http.n));
    }
    if (req.method == "BANTAG") {
        ban("obj.http.xkey == " + req.http.xkey);
        return (synth(200, "Banned"));
    }
{{- end}}
{{- if .Purge}}
    if (req.method == "PURGE") {
        return (purge);
    }
{{- end}}
    # Nothing else: the built-in rules go on from here.
}

sub vcl_backend_response {
    # What is stale is asked for again before it is served, as RFC 9111 has it; the default would serve it for
    # ten seconds more and refresh in the background.
    set beresp.grace = 0s;
    # Kept past its lifetime, so that it can be revalidated.
    set beresp.keep = 1h;
}
