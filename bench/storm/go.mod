module storm

go 1.26.0
