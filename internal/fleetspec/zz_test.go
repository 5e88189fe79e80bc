package fleetspec_test
import ("testing";"time";"os";"fmt";"drover/internal/fleetspec")
func FuzzZZ(f *testing.F){
	f.Add([]byte(documented))
	for _, cases := range [][]errorCase{formErrors, valueErrors} { for _, c := range cases { if len(c.yaml) < 1000 { f.Add([]byte(c.yaml)) } } }
	f.Fuzz(func(t *testing.T, data []byte) {
		tm := time.AfterFunc(5*time.Second, func(){ os.WriteFile(fmt.Sprintf("/tmp/hang-%d", os.Getpid()), data, 0o600); os.Exit(3) })
		fleetspec.Parse("f", data)
		tm.Stop()
	})
}
