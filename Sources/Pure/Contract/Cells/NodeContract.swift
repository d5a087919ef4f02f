public import Domain
internal import Wire

/// What a cell node takes and gives: the one thing that its OpenAPI document, its `.proto`, its typed gRPC service and its
/// checks are made of.
public struct NodeContract: Sendable, Equatable {
  /// An input or output.
  public struct Field: Sendable, Equatable {
    /// The Python variable: also the name in JSON.
    public var name: String
    public var type: ContractType
    /// The declared type in the words of the node's spec.
    public var declared: VariableType
    /// The field of the message `Input` or `Output`.
    public var protoName: String
    /// From 1, in the order of the declaration.
    public var number: Int
  }

  public var nodeID: String
  public var nodeName: String
  public var release: Int
  public var inputs: [Field]
  public var outputs: [Field]
  /// A JSON object with values for inputs, where the checkpoint has small ones.
  public var example: [UInt8]?

  /// `example` is the checkpoint's, of which only inputs are kept.
  public init(
    nodeID: String, nodeName: String, release: Int, inputs: [Variable], outputs: [Variable],
    example: [UInt8]? = nil
  ) {
    self.nodeID = nodeID
    self.nodeName = nodeName
    self.release = release
    self.inputs = Self.fields(inputs)
    self.outputs = Self.fields(outputs)
    self.example = example.flatMap { Self.only(inputs.map(\.name), of: $0) }
  }

  private static func fields(_ variables: [Variable]) -> [Field] {
    let names = ProtoNames.fields(variables.map(\.name))
    return variables.enumerated().map { index, variable in
      Field(
        name: variable.name, type: ContractType(variable),
        declared: variable.type, protoName: names[index], number: index + 1)
    }
  }

  /// The members of an object that are named; nil when not all of them are there.
  private static func only(_ names: [String], of example: [UInt8]) -> [UInt8]? {
    guard let members = try? JSONMembers.slice(example) else { return nil }
    var writer = JSONWriter()
    writer.beginObject()
    for name in names {
      guard let member = members.first(where: { $0.name == name }) else { return nil }
      writer.key(name)
      writer.raw(example[member.value])
    }
    writer.endObject()
    return writer.bytes
  }

  /// Full name of the node's typed gRPC service.
  public var serviceName: String { "\(package).Node" }
  /// Package of the node's `.proto`.
  public var package: String { "roost.nodes.\(ProtoNames.packagePart(nodeName))" }
}

/// Names that protobuf takes.
public enum ProtoNames {
  /// The last part of the package of a node: `my-node` → `my_node`.
  public static func packagePart(_ name: String) -> String {
    let part = String(name.lowercased().map { isPlain($0) ? $0 : "_" })
    return part.first?.isLetter == true ? part : "n\(part)"
  }

  /// Field names for variables: the variable's own name where protobuf takes it, else `v` and its place.
  ///
  /// Two names that would be one in JSON's camel case (`a_b`, `aB`) are told apart the same way.
  static func fields(_ names: [String]) -> [String] {
    var taken = Set<String>()
    return names.enumerated().map { index, name in
      let plain = name.allSatisfy(isPlain) && name.first?.isLetter == true
      let key = ProtoFile.jsonName(name).lowercased()
      if plain, !key.isEmpty, taken.insert(key).inserted { return name }
      let other = "v\(index + 1)"
      taken.insert(other)
      return other
    }
  }

  private static func isPlain(_ character: Character) -> Bool {
    character == "_" || character.isASCII && (character.isLetter || character.isNumber)
  }
}
