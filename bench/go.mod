module github.com/chartroom/chartroom/bench

go 1.26
