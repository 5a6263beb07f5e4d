// SPDX-License-Identifier: AGPL-3.0-or-later

package sandbox

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"time"
)

// memoryVariable carries the limit to the child.
const memoryVariable = "CHARTROOM_SANDBOX_MEMORY"

// maxStack is the stack of a goroutine in the child, so that deep recursion ends
// it sooner than it would the parent.
const maxStack = 64 << 20

// Handler does an operation in the child. The result is encoded as JSON. What it
// notes on the way, also JSON, comes with the error if it breaks a limit.
type Handler func(op string, body json.RawMessage, note func(any)) (any, error)

// Serve is the child: it limits itself and answers requests until in ends, when
// the process exits. It returns only when it cannot begin.
func Serve(in io.Reader, out io.Writer, handle Handler) error {
	limit, err := strconv.ParseInt(os.Getenv(memoryVariable), 10, 64)
	if err != nil {
		return errors.New("this is started by chartroom itself, for charts that are not trusted")
	}
	// Steps must not depend on where the process runs.
	time.Local = time.UTC
	debug.SetMaxStack(maxStack)
	debug.SetMemoryLimit(limit - limit/4)
	if err := limitMemory(limit); err != nil {
		return fmt.Errorf("limit the memory of the sandbox: %w", err)
	}
	if _, err := io.WriteString(out, "ready\n"); err != nil {
		return err
	}
	requests := make(chan []byte)
	go func() {
		// Reading goes on while a request is handled: the end of the stream is
		// the end of the process, whatever it is doing.
		r := bufio.NewReaderSize(in, 64<<10)
		for {
			line, err := r.ReadBytes('\n')
			if err != nil {
				os.Exit(0)
			}
			requests <- line
		}
	}()
	note := func(v any) {
		if b, err := json.Marshal(v); err == nil {
			b, _ = json.Marshal(response{Note: b})
			_, _ = out.Write(append(b, '\n')) // the answer fails, too
		}
	}
	for line := range requests {
		answer, err := json.Marshal(do(line, handle, note))
		if err != nil {
			answer, _ = json.Marshal(response{Error: err.Error()})
		}
		if _, err := out.Write(append(answer, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// do handles one request. A panic is not caught: the process ends, and the parent
// tells what it said.
func do(line []byte, handle Handler, note func(any)) response {
	var r request
	if err := json.Unmarshal(line, &r); err != nil {
		return response{Error: err.Error()}
	}
	result, err := handle(r.Op, r.Body, note)
	if err != nil {
		return response{Error: err.Error()}
	}
	body, err := json.Marshal(result)
	if err != nil {
		return response{Error: err.Error()}
	}
	return response{Body: body}
}
