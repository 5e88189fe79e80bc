package whole

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"drover/internal/realparts"
)

// network drops packets to and from ports of loopback, in a chain of iptables of its
// own. The process that keeps the chain removes it when the test ends, however it
// ends: nobody holds the other end of its standard input then.
type network struct {
	testing.TB
	keeper *exec.Cmd // nil: the network can't be cut
	orders io.WriteCloser
	answer *bufio.Reader
}

// keeper makes the chain, and adds to it and deletes from it what it is told, with an
// answer to each.
const keeper = `
chain=$1
run() { iptables -w 10 "$@" 2>&1; }
remove() { run -D INPUT -i lo -j "$chain"; run -F "$chain"; run -X "$chain"; }
said=$(run -N "$chain" && run -I INPUT -i lo -j "$chain") || { remove >/dev/null; echo no: $said; exit; }
echo ok
while read -r order rule; do said=$(run "$order" "$chain" $rule) && echo ok || echo no: $said; done
remove
`

// newNetwork returns the network, which can be cut by root where there is iptables.
func newNetwork(t testing.TB) *network {
	n := &network{TB: t}
	if os.Getuid() != 0 {
		t.Log("only root can cut the network: instances hang instead")
		return n
	}
	n.keeper = exec.Command("sh", "-c", keeper, "sh", fmt.Sprintf("DROVER-CHAOS-%d", os.Getpid()))
	orders, err := n.keeper.StdinPipe()
	require.NoError(t, err)
	answer, err := n.keeper.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, n.keeper.Start())
	n.orders, n.answer = orders, bufio.NewReader(answer)
	t.Cleanup(n.close)
	if said := n.answered(); said != "ok" {
		if realparts.Required() {
			t.Fatalf("the network can't be cut: %s", said)
		}
		t.Logf("the network can't be cut here, instances hang instead: %s", said)
		n.close()
	}
	return n
}

func (n *network) answered() string {
	line, err := n.answer.ReadString('\n')
	require.NoError(n, err)
	return strings.TrimSpace(line)
}

func (n *network) usable() bool { return n.keeper != nil }

// cut drops whatever goes to a port, and comes from it.
func (n *network) cut(port int) { n.change("-A", port) }

// mend takes cut back.
func (n *network) mend(port int) {
	if n.usable() {
		n.change("-D", port)
	}
}

func (n *network) change(order string, port int) {
	for _, direction := range []string{"--dport", "--sport"} {
		_, err := fmt.Fprintf(n.orders, "%s -p tcp %s %d -j DROP\n", order, direction, port)
		require.NoError(n, err)
		require.Equal(n, "ok", n.answered())
	}
}

// close mends everything and removes the chain.
func (n *network) close() {
	if !n.usable() {
		return
	}
	n.orders.Close()
	if rest, err := io.ReadAll(n.answer); err != nil || len(rest) > 0 {
		n.Errorf("the chain of iptables could not be removed: %s %v", rest, err)
	}
	if err := n.keeper.Wait(); err != nil {
		n.Errorf("the keeper of the network failed: %v", err)
	}
	n.keeper = nil
}
