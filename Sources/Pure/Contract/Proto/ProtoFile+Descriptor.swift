internal import Wire

extension ProtoFile {
  /// The encoded `google.protobuf.FileDescriptorProto`: what reflection answers with.
  public var descriptor: [UInt8] {
    var writer = ProtobufWriter()
    writer.string(1, path)
    writer.string(2, package)
    for path in imports { writer.string(3, path) }
    for message in messages { writer.bytes(4, encoded(message, scope: "." + package)) }
    for type in enums { writer.bytes(5, Self.encoded(type)) }
    for service in services {
      writer.message(6) { out in
        out.string(1, service.name)
        for method in service.methods {
          out.message(2) { out in
            out.string(1, method.name)
            out.string(2, "." + method.input)
            out.string(3, "." + method.output)
            if method.clientStreams { out.bool(5, true) }
            if method.serverStreams { out.bool(6, true) }
          }
        }
      }
    }
    if !options.isEmpty {
      writer.message(8) { out in
        for option in options.sorted(by: { $0.number < $1.number }) {
          switch option.value {
          case .text(let value): out.string(option.number, value)
          case .flag(let value): out.bool(option.number, value)
          }
        }
      }
    }
    writer.string(12, "proto3")
    return writer.bytes
  }

  private static func encoded(_ type: EnumType) -> [UInt8] {
    var writer = ProtobufWriter()
    writer.string(1, type.name)
    for (number, value) in type.values.enumerated() {
      writer.message(2) { out in
        out.string(1, value)
        out.integer(2, number)
      }
    }
    return writer.bytes
  }

  private func encoded(_ message: Message, scope: String) -> [UInt8] {
    var writer = ProtobufWriter()
    writer.string(1, message.name)
    // A field that may be absent is an alternative of its own, declared after the real ones.
    let alone = message.fields.filter { $0.label == .optional }.map(\.name)
    let oneofs = message.oneofs
    for field in message.fields {
      let place: Int? =
        if let oneof = field.oneof {
          oneofs.firstIndex(of: oneof)
        } else {
          alone.firstIndex(of: field.name).map { $0 + oneofs.count }
        }
      writer.bytes(2, encoded(field, oneof: place, scope: "\(scope).\(message.name)"))
    }
    for field in message.fields {
      if case .map(let value) = field.type {
        writer.message(3) { out in
          out.string(1, Self.entry(field.name))
          out.bytes(2, encoded(Field("key", 1, .string), oneof: nil, scope: ""))
          out.bytes(2, encoded(Field("value", 2, value), oneof: nil, scope: ""))
          out.message(7) { $0.bool(7, true) }
        }
      }
    }
    for type in message.enums { writer.bytes(4, Self.encoded(type)) }
    for name in oneofs + alone.map({ "_" + $0 }) { writer.message(8) { $0.string(1, name) } }
    return writer.bytes
  }

  private func encoded(_ field: Field, oneof: Int?, scope: String) -> [UInt8] {
    var writer = ProtobufWriter()
    writer.string(1, field.name)
    writer.integer(3, field.number)
    var repeated = field.label == .repeated
    if case .map = field.type { repeated = true }
    writer.integer(4, repeated ? 3 : 1)
    let (number, name) = Self.type(field, scope: scope)
    writer.integer(5, number)
    if let name { writer.string(6, name) }
    if let oneof { writer.integer(9, oneof) }
    writer.string(10, field.jsonName ?? Self.jsonName(field.name))
    if field.label == .optional { writer.bool(17, true) }
    return writer.bytes
  }

  private static func type(_ field: Field, scope: String) -> (Int, String?) {
    switch field.type {
    case .double: (1, nil)
    case .float: (2, nil)
    case .int64: (3, nil)
    case .uint64: (4, nil)
    case .int32: (5, nil)
    case .uint32: (13, nil)
    case .bool: (8, nil)
    case .string: (9, nil)
    case .message(let name): (11, "." + name)
    case .map: (11, "\(scope).\(entry(field.name))")
    case .bytes: (12, nil)
    case .enumeration(let name): (14, "." + name)
    }
  }

  /// `input_data` → `inputData`: the name that JSON has unless another is given.
  static func jsonName(_ name: String) -> String {
    var result = ""
    var raise = false
    for character in name {
      if character == "_" {
        raise = true
      } else {
        result += raise ? character.uppercased() : String(character)
        raise = false
      }
    }
    return result
  }

  /// `fields` → `FieldsEntry`: the message of a map's members.
  private static func entry(_ name: String) -> String {
    let camel = jsonName(name)
    return camel.prefix(1).uppercased() + camel.dropFirst() + "Entry"
  }
}
