/// The 20 bytes of a node id.
struct NodeKey: Hashable {
  var first: UInt64
  var second: UInt64
  var third: UInt32

  init?(_ base: UnsafePointer<UInt8>, _ count: Int) {
    guard count == 20 else { return nil }
    let raw = UnsafeRawPointer(base)
    first = raw.loadUnaligned(as: UInt64.self)
    second = (raw + 8).loadUnaligned(as: UInt64.self)
    third = (raw + 16).loadUnaligned(as: UInt32.self)
  }
}
