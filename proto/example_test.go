// SPDX-License-Identifier: Apache-2.0

package proto_test

import (
	"context"
	"fmt"
	"log"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// A program of another team: it makes an instance, sends it an event, and
// follows its log. Every write carries a request_id, so that a call whose
// answer was lost is simply made again; the watch goes on after the sequence
// that was handled last, so that nothing is missed and nothing comes twice.
func Example() {
	ctx := context.Background()
	conn := must(grpc.NewClient("127.0.0.1:7400", grpc.WithTransportCredentials(insecure.NewCredentials())))
	defer conn.Close()
	fleet := fleetv1.NewFleetServiceClient(conn)

	order := must(fleet.CreateInstance(ctx, &fleetv1.CreateInstanceRequest{Name: "order-42", Chart: "order", RequestId: "order-42/create"})).GetInstance()
	tea := must(structpb.NewValue(map[string]any{"name": "tea", "price": 4}))
	must(fleet.SendEvent(ctx, &fleetv1.SendEventRequest{InstanceId: order.GetInstanceId(), Event: "item", Data: tea, RequestId: "order-42/tea"}))

	changes := must(fleet.Watch(ctx, &fleetv1.WatchRequest{InstanceId: order.GetInstanceId(), Log: true, AfterLogSequence: order.GetLogSequence()}))
	for {
		change := must(changes.Recv()) // when it breaks: Watch again, after the last sequence printed
		if entry := change.GetLog(); entry != nil {
			fmt.Println(entry.GetSequence(), entry.GetEvent(), entry.GetSummary())
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
