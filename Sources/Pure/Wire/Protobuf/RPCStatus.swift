/// `google.protobuf.Any`: a message with the name of its type.
public struct ProtobufAny: Sendable, Equatable {
  /// `type.googleapis.com/` and the full name of the message.
  public var typeURL: String
  public var value: [UInt8]

  public init(typeURL: String, value: [UInt8]) {
    self.typeURL = typeURL
    self.value = value
  }

  /// A message by its full name, like `google.rpc.RequestInfo`.
  public init(message name: String, value: [UInt8]) {
    self.init(typeURL: "type.googleapis.com/\(name)", value: value)
  }

  public var bytes: [UInt8] {
    var writer = ProtobufWriter()
    writer.nonEmpty(1, typeURL)
    if !value.isEmpty { writer.bytes(2, value) }
    return writer.bytes
  }

  init(_ reader: inout ProtobufReader) throws(ProtobufError) {
    self.init(typeURL: "", value: [])
    while let field = try reader.next() {
      switch field.number {
      case 1: typeURL = try reader.string(field)
      case 2: value = try reader.bytes(field)
      default: try reader.skip(field)
      }
    }
  }
}

/// `google.rpc.Status`: what `grpc-status-details-bin` carries.
public struct RPCStatus: Sendable, Equatable {
  /// A number of `google.rpc.Code`.
  public var code: Int32
  public var message: String
  public var details: [ProtobufAny]

  public init(code: Int32, message: String, details: [ProtobufAny] = []) {
    self.code = code
    self.message = message
    self.details = details
  }

  public var bytes: [UInt8] {
    var writer = ProtobufWriter()
    if code != 0 { writer.integer(1, code) }
    writer.nonEmpty(2, message)
    for detail in details { writer.bytes(3, detail.bytes) }
    return writer.bytes
  }

  /// Reads an encoded status.
  public init(_ bytes: [UInt8]) throws(ProtobufError) {
    self.init(code: 0, message: "")
    self = try ProtobufReader.reading(bytes) { (reader) throws(ProtobufError) in
      var status = RPCStatus(code: 0, message: "")
      while let field = try reader.next() {
        switch field.number {
        case 1: status.code = try reader.int32(field)
        case 2: status.message = try reader.string(field)
        case 3:
          var inner = try reader.message(field)
          status.details.append(try ProtobufAny(&inner))
        default: try reader.skip(field)
        }
      }
      return status
    }
  }
}
