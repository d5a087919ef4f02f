/// libFuzzer's entry: see FuzzProperties.exposition.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  FuzzProperties.exposition(Array(UnsafeBufferPointer(start: data, count: count)))
  return 0
}
