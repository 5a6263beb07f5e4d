module github.com/chartroom/chartroom/bench

go 1.26.0

require (
	github.com/chartroom/chartroom v0.0.0
	github.com/chartroom/chartroom/scxml v0.0.0
	github.com/dop251/goja v0.0.0-20260917113740-793a2a65c13b
	github.com/looplab/fsm v1.0.3
	github.com/qmuntal/stateless v1.7.2
)

require (
	github.com/dlclark/regexp2/v2 v2.5.2 // indirect
	github.com/go-sourcemap/sourcemap v2.1.3+incompatible // indirect
	github.com/google/pprof v0.0.0-20230207041349-798e818bf904 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace github.com/chartroom/chartroom => ../

replace github.com/chartroom/chartroom/proto => ../proto

replace github.com/chartroom/chartroom/scxml => ../scxml
