/// libFuzzer's entry: see FuzzProperties.protobuf.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  FuzzProperties.protobuf(Array(UnsafeBufferPointer(start: data, count: count)))
  return 0
}
