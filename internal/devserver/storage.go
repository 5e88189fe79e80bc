package devserver

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	sqliteschema "go.temporal.io/server/schema/sqlite"
	"google.golang.org/protobuf/types/known/durationpb"
)

// retention is how long a closed workflow can be looked at. A day, Temporal's
// usual, loses over a weekend what somebody wanted to look at on Monday.
const retention = 7 * 24 * time.Hour

// store is where a server keeps its data.
type store struct {
	sql  *config.SQL
	lock *os.File // nil for a store in memory
}

// openStore makes the database ready: in memory, or in a file that no other
// server uses and that has its tables.
func openStore(file string) (*store, error) {
	if file == "" {
		name := "drover-" + strconv.FormatInt(time.Now().UnixNano(), 36)
		return &store{sql: sqlConfig(name, map[string]string{"mode": "memory", "cache": "shared"})}, nil
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, fmt.Errorf("--db-file %s: %w", file, err)
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("--db-file %s: %w", file, err)
	}
	if err := ensureTables(path); err != nil {
		return nil, errors.Join(fmt.Errorf("--db-file %s: %w", file, err), lock.Close())
	}
	return &store{lock: lock, sql: sqlConfig(uriPath(path), map[string]string{
		"mode": "rwc", "journal_mode": "wal", "synchronous": "1",
	})}, nil
}

// close lets another server use the file.
func (s *store) close() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}

func sqlConfig(database string, attributes map[string]string) *config.SQL {
	return &config.SQL{
		PluginName:        sqlite.PluginName,
		DatabaseName:      database,
		ConnectAttributes: attributes,
	}
}

// uriPath escapes what means something in SQLite's file: URIs.
func uriPath(path string) string { return (&url.URL{Path: path}).EscapedPath() }

// lockFile keeps two servers from writing to one database: SQLite would let
// them, and each would trust what it has cached.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errors.New("another server uses this database: stop it, or choose another file")
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// ensureTables creates a database that isn't there. It appears whole or not at
// all, whenever this process is killed.
func ensureTables(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, checkDatabase(path))
	}
	draft := path + ".new"
	for _, leftover := range []string{draft, draft + "-journal"} {
		if err := os.Remove(leftover); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	// Not synced statement by statement, but once at the end.
	if err := sqliteschema.SetupSchema(sqlConfig(uriPath(draft), map[string]string{"mode": "rwc", "synchronous": "0"})); err != nil {
		return fmt.Errorf("create tables: %w", err)
	}
	f, err := os.Open(draft)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(draft, path)
}

// checkDatabase says when a file is something else than a database, before anything is
// written to it.
func checkDatabase(path string) (err error) {
	const magic = "SQLite format 3\x00"
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	head := make([]byte, len(magic))
	n, err := io.ReadFull(f, head)
	switch {
	case errors.Is(err, io.EOF): // an empty file is an empty database
		return nil
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return err
	case string(head[:n]) != magic:
		return errors.New("is no SQLite database; allowed: one that drover-devserver has made, or a new file")
	}
	return nil
}

// createNamespaces creates those that don't exist. They are written before the
// server starts, so that it knows them from its first request on.
func createNamespaces(sql *config.SQL, names []string) error {
	if len(names) == 0 {
		return errors.New("--namespace: at least one is needed")
	}
	namespaces := make([]*sqliteschema.NamespaceConfig, 0, len(names))
	for _, name := range names {
		ns, err := sqliteschema.NewNamespaceConfig(clusterName, name, false, nil)
		if err != nil {
			return fmt.Errorf("namespace %q: %w", name, err)
		}
		ns.Detail.Config.Retention = durationpb.New(retention)
		namespaces = append(namespaces, ns)
	}
	if err := sqliteschema.CreateNamespaces(sql, namespaces...); err != nil {
		return fmt.Errorf("create namespaces: %w", err)
	}
	return nil
}
