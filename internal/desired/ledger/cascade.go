package ledger

// Tree are the apps of a Delivery whose objects are read for further ones.
type Tree struct {
	// Fleet says that they are read in the context of the fleet.
	Fleet bool
	// Prunes are all apps of the tree, on any cluster, and whether objects that go
	// from them are deleted.
	Prunes map[string]bool
}

// Cascades reports whether the objects of an app that is no longer asked for go
// with it: its Application had the finalizer, its Delivery is still there and read
// as it was, and its parent is either there and prunes, or goes in the same way.
// One whose deletion has begun goes on as long as its Delivery is read.
func Cascades(name string, last map[string]App, trees map[string]Tree) bool {
	if _, elsewhere := trees[last[name].Given().Lineage.Delivery].Prunes[name]; elsewhere && !last[name].Removed {
		return false // it went to another cluster, which leaves its objects here
	}
	for range len(last) {
		gone, known := last[name]
		of := gone.Given().Lineage
		tree, read := trees[of.Delivery]
		if !known || !read || of.Parent == "" || !of.Cascade || tree.Fleet != of.Fleet {
			return false
		}
		if gone.Removed {
			return true
		}
		if prunes, there := tree.Prunes[of.Parent]; there {
			return prunes
		}
		name = of.Parent
	}
	return false
}
