// SPDX-License-Identifier: AGPL-3.0-or-later

package blob_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/chartroom/chartroom/services/snapshot/internal/blob"
)

func TestPack(t *testing.T) {
	t.Parallel()
	noise := make([]byte, 100_000)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(noise)
	for name, body := range map[string][]byte{
		"empty": {}, "short": []byte(`{"n":1}`), "alike": bytes.Repeat([]byte(`{"n":1}`), 10_000), "noise": noise,
	} {
		packed := blob.Pack(body)
		if len(packed) > len(body)+1 {
			t.Errorf("%s: %d bytes became %d", name, len(body), len(packed))
		}
		got, err := blob.Unpack(packed, blob.Sum(body))
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("%s: unpacked %d bytes, %v", name, len(got), err)
		}
		if name == "alike" && len(packed) > len(body)/10 {
			t.Errorf("%s: %d bytes became %d, not compressed", name, len(body), len(packed))
		}
	}
}

func TestUnpackFindsDamage(t *testing.T) {
	t.Parallel()
	body := bytes.Repeat([]byte("state"), 100)
	sum := blob.Sum(body)
	packed := blob.Pack(body)
	for i := range packed {
		bad := bytes.Clone(packed)
		bad[i] ^= 0x55
		if got, err := blob.Unpack(bad, sum); err == nil && !bytes.Equal(got, body) {
			t.Fatalf("byte %d damaged: not noticed", i)
		}
	}
	if _, err := blob.Unpack(nil, sum); err == nil {
		t.Error("nothing was unpacked")
	}
}
