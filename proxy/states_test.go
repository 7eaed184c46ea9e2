package proxy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// stateMethods are the methods that the loop calls, by their state.
var stateMethods = map[state]string{
	stateReceive: "receive", statePurge: "purge", stateLookup: "lookup", stateJoin: "join", stateFollow: "follow", stateAlone: "goAlone",
	stateTake: "take", statePass: "pass", stateFail: "fail", stateDeliver: "deliver", stateRefuse: "refuse", stateFinish: "handOver",
}

// TestStatesKnowNoOther: the loop calls every state, nothing else calls any, and the drawing has them all.
func TestStatesKnowNoOther(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var called []string
	drawing := ""
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		drawing += f.Doc.Text()
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); !ok || x.Name != "x" {
				return true
			}
			for _, method := range stateMethods {
				switch {
				case sel.Sel.Name != method:
				case name == "run.go":
					called = append(called, method)
				default:
					t.Errorf("%s calls x.%s: only the loop does, a state returns the next one", name, method)
				}
			}
			return true
		})
	}
	for s := stateReceive; s < stateDone; s++ {
		if !slices.Contains(called, stateMethods[s]) {
			t.Errorf("the loop does not call the method of %v", s)
		}
		if !strings.Contains(drawing, s.String()+" ->") && !strings.Contains(drawing, "-> "+s.String()) {
			t.Errorf("the drawing in doc.go lacks %v", s)
		}
	}
}
