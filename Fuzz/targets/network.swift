/// libFuzzer's entry: see FuzzProperties.network.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  FuzzProperties.network(Array(UnsafeBufferPointer(start: data, count: count)))
  return 0
}
