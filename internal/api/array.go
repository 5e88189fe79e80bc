package api

import (
	"strconv"
	"strings"
)

// MemoArray is the name of the memo that makes a Container an element of an array, an
// Array in JSON. What has no such memo is none, whatever its ID.
const MemoArray = "DroverArray"

// What an element of an array has in its environment.
const (
	EnvArrayID    = "DROVER_ARRAY_ID"    // the array's name
	EnvArrayIndex = "DROVER_ARRAY_INDEX" // the element's index
	EnvArrayCount = "DROVER_ARRAY_COUNT" // how many elements there are
)

// Array says of which array a Container is an element.
type Array struct {
	Name string `json:"name"`
	// Elements are the indices of all elements, in their shortest form: 0-99.
	Elements string `json:"elements"`
}

// ElementID returns the ID of the container that is an element of an array.
func ElementID(array string, index int) string { return array + "." + strconv.Itoa(index) }

// ParseElementID returns the array and the index in a container's ID, if it has the form
// of ElementID: the container need not be an element for that.
func ParseElementID(id string) (array string, index int, ok bool) {
	dot := strings.LastIndexByte(id, '.')
	if dot < 1 {
		return "", 0, false
	}
	index, err := strconv.Atoi(id[dot+1:])
	return id[:dot], index, err == nil && index >= 0 && ElementID(id[:dot], index) == id
}
