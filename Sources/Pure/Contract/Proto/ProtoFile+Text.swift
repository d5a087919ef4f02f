extension ProtoFile {
  /// The source text, as a person would write it.
  public var text: String {
    var lines: [String] = []
    Self.comment(comment, "", &lines)
    lines += ["syntax = \"proto3\";", "", "package \(package);"]
    if !imports.isEmpty {
      lines.append("")
      lines += imports.map { "import \"\($0)\";" }
    }
    if !options.isEmpty {
      lines.append("")
      for option in options {
        switch option.value {
        case .text(let value): lines.append("option \(option.name) = \"\(value)\";")
        case .flag(let value): lines.append("option \(option.name) = \(value);")
        }
      }
    }
    for service in services { text(service, &lines) }
    for message in messages { text(message, &lines) }
    for type in enums {
      lines.append("")
      Self.text(type, "", &lines)
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func comment(_ comment: String?, _ indent: String, _ lines: inout [String]) {
    guard let comment else { return }
    // A line break inside would end the comment; other control characters have no place in it.
    for line in comment.split(separator: "\n", omittingEmptySubsequences: false) {
      let plain = String(
        line.filter { $0 == "\t" || !($0.unicodeScalars.first.map { $0.value < 0x20 } ?? true) })
      lines.append("\(indent)// \(plain)")
    }
  }

  private func text(_ service: Service, _ lines: inout [String]) {
    lines.append("")
    Self.comment(service.comment, "", &lines)
    lines.append("service \(service.name) {")
    for method in service.methods {
      Self.comment(method.comment, "  ", &lines)
      let input = (method.clientStreams ? "stream " : "") + local(method.input)
      let output = (method.serverStreams ? "stream " : "") + local(method.output)
      lines.append("  rpc \(method.name)(\(input)) returns (\(output));")
    }
    lines.append("}")
  }

  private func text(_ message: Message, _ lines: inout [String]) {
    lines.append("")
    Self.comment(message.comment, "", &lines)
    guard !message.fields.isEmpty || !message.enums.isEmpty else {
      lines.append("message \(message.name) {}")
      return
    }
    lines.append("message \(message.name) {")
    for type in message.enums { Self.text(type, "  ", &lines) }
    var open: String?
    for field in message.fields {
      if field.oneof != open {
        if open != nil { lines.append("  }") }
        if let oneof = field.oneof { lines.append("  oneof \(oneof) {") }
        open = field.oneof
      }
      let indent = open == nil ? "  " : "    "
      Self.comment(field.comment, indent, &lines)
      lines.append("\(indent)\(declaration(field));")
    }
    if open != nil { lines.append("  }") }
    lines.append("}")
  }

  private static func text(_ type: EnumType, _ indent: String, _ lines: inout [String]) {
    lines.append("\(indent)enum \(type.name) {")
    for (number, value) in type.values.enumerated() { lines.append("\(indent)  \(value) = \(number);") }
    lines.append("\(indent)}")
  }

  private func declaration(_ field: Field) -> String {
    let label =
      switch field.label {
      case .plain: ""
      case .optional: "optional "
      case .repeated: "repeated "
      }
    let name = field.jsonName.map { " [json_name = \"\($0)\"]" } ?? ""
    return "\(label)\(typeName(field.type)) \(field.name) = \(field.number)\(name)"
  }

  private func typeName(_ type: FieldType) -> String {
    switch type {
    case .double: "double"
    case .float: "float"
    case .int64: "int64"
    case .uint64: "uint64"
    case .uint32: "uint32"
    case .int32: "int32"
    case .bool: "bool"
    case .string: "string"
    case .bytes: "bytes"
    case .message(let name), .enumeration(let name): local(name)
    case .map(let value): "map<string, \(typeName(value))>"
    }
  }

  /// A full name without the package where it is this file's own.
  private func local(_ name: String) -> String {
    let prefix = package + "."
    if name.hasPrefix(prefix) { return String(name.dropFirst(prefix.count)) }
    // Inside package a.b.c a name that begins with c would be looked up there first.
    let first = name.split(separator: ".").first ?? ""
    return package.split(separator: ".").dropFirst().contains(first) ? "." + name : name
  }
}
