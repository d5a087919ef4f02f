internal import Domain

extension NodeContract {
  /// The node's `.proto`: service `Node` with `Execute(Input) returns (Output)`.
  public var proto: ProtoFile {
    let types = (inputs + outputs).map(\.type)
    var imports: [String] = []
    if types.contains(where: \.usesStruct) { imports.append("google/protobuf/struct.proto") }
    if types.contains(.time) { imports.append("google/protobuf/timestamp.proto") }
    var messages = [
      ProtoFile.Message(
        "Input", inputs.map { protoField($0, .optional) },
        comment: "The variables that a request sets. All are required."),
      ProtoFile.Message(
        "Output", outputs.map { protoField($0, .plain) }, comment: "The variables that the cell answers with."
      ),
    ]
    var tensors: [String] = []
    for case .tensor(let tensor) in types {
      guard let element = tensor.element, !tensors.contains(element.message) else { continue }
      tensors.append(element.message)
      messages.append(
        ProtoFile.Message(
          element.message,
          [
            ProtoFile.Field("shape", 1, .int64, .repeated, comment: "Lengths; none means one dimension."),
            ProtoFile.Field("values", 2, element.field, .repeated, comment: "Row by row."),
          ], comment: "A numpy.ndarray."))
    }
    return ProtoFile(
      "nodes/\(ProtoNames.packagePart(nodeName)).proto", package: package, imports: imports,
      messages: messages,
      services: [
        ProtoFile.Service(
          "Node",
          [
            ProtoFile.Method(
              "Execute", "\(package).Input", "\(package).Output", comment: "Runs the cell of the node once.")
          ])
      ], comment: "Generated from release \(release) of node \(nodeName) (\(nodeID)).")
  }

  private func protoField(_ field: Field, _ label: ProtoFile.Field.Label) -> ProtoFile.Field {
    let type = protoType(field.type)
    var presence = label
    if case .message = type { presence = .plain }  // A message knows by itself whether it was set.
    let usual = ProtoFile.jsonName(field.protoName)
    return ProtoFile.Field(
      field.protoName, field.number, type, presence, jsonName: usual == field.name ? nil : field.name,
      comment: field.type.note(field.declared))
  }

  private func protoType(_ type: ContractType) -> ProtoFile.FieldType {
    switch type {
    case .object: .message("google.protobuf.Struct")
    case .list, .table: .message("google.protobuf.ListValue")
    case .any: .message("google.protobuf.Value")
    case .time: .message("google.protobuf.Timestamp")
    case .text: .string
    case .integer: .int64
    case .number: .double
    case .boolean: .bool
    case .bytes, .image: .bytes
    case .tensor(let tensor):
      .message(tensor.element.map { "\(package).\($0.message)" } ?? "google.protobuf.ListValue")
    }
  }
}

extension ContractType {
  var usesStruct: Bool {
    switch self {
    case .object, .list, .any, .table: true
    case .tensor(let tensor): tensor.element == nil
    default: false
    }
  }

  /// What a reader should know beside the type of the field.
  func note(_ declared: VariableType) -> String {
    switch self {
    case .tensor(let tensor):
      let shape = tensor.shape.map { " of shape (\($0.map(String.init).joined(separator: ", ")))" } ?? ""
      return "numpy.ndarray\(tensor.element.map { " \($0.rawValue)" } ?? "")\(shape)"
    case .table(let columns):
      guard !columns.isEmpty else { return "pandas.DataFrame: a list of records" }
      return "pandas.DataFrame: a list of records with "
        + columns.prefix(50).map { "\($0.name) (\($0.dtype))" }.joined(separator: ", ")
        + (columns.count > 50 ? "..." : "")
    case .list(.some(let item)): return "list of \(item.rawValue)"
    case .image: return "image: the bytes of a PNG or JPEG file"
    default: return declared.rawValue
    }
  }
}
