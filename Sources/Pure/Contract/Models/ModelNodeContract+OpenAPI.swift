internal import Domain
public import Wire

/// The documents of model nodes.
extension ModelNodeContract {
  /// The OpenAPI 3.1 document of the node. `server` is the URL that clients reach this server by; `folder` the one that the
  /// example names.
  public func openAPI(server: String, folder: String = "FOLDER_ID") -> JSONValue {
    var schemas = JSONObject([
      (
        key: "ExecuteRequest",
        value: [
          "type": "object", "required": ["folder_id", "input"], "additionalProperties": false,
          "properties": [
            "folder_id": ["type": "string", "description": "A folder of the node's access list."],
            "input": ["$ref": "#/components/schemas/Input"],
          ],
        ]
      ),
      (
        key: "ExecuteAnswer",
        value: [
          "type": "object", "required": ["output"],
          "properties": ["output": ["$ref": "#/components/schemas/Output"]],
        ]
      ),
    ])
    for model in models where models.count != 1 || !model.hasVersions {
      _ = schemas.add("\(model.prefix)Input", Self.object(model.inputs, answers: false))
      _ = schemas.add("\(model.prefix)Output", Self.object(model.outputs, answers: true))
    }
    if models.count != 1 {
      _ = schemas.add("Input", byName("Input"))
      _ = schemas.add("Output", byName("Output"))
    } else if let model = models.first, model.hasVersions {
      // Inputs by name for the version that answers by default, or below the name of one.
      for what in ["Input", "Output"] {
        let plain = Self.object(what == "Input" ? model.inputs : model.outputs, answers: what == "Output")
        _ = schemas.add("Plain\(what)", plain)
        let either: JSONValue = [
          "anyOf": [["$ref": .string("#/components/schemas/Plain\(what)")], byName(what, of: "Plain\(what)")]
        ]
        _ = schemas.add(what, either)
      }
    }
    _ = schemas.add("Status", NodeContract.status)
    return [
      "openapi": "3.1.0",
      "info": [
        "title": .string(nodeName), "version": .string(String(release)),
        "description": .string(
          "Node \(nodeName) (\(nodeID)), release \(release): the models \(told). Stock clients of the Open Inference Protocol call it with the header x-node-id."
        ),
      ],
      "servers": [["url": .string(server)]], "security": [["bearer": []]],
      "paths": .object(
        JSONObject([(key: "/datasphere/v1/nodes/\(nodeID):execute", value: path(folder: folder))])),
      "components": [
        "securitySchemes": ["bearer": ["type": "http", "scheme": "bearer"]], "schemas": .object(schemas),
      ],
    ]
  }

  /// Inputs for one request: the least that fits; of the first model, below its name where there are others.
  public var exampleInput: JSONValue {
    guard let model = models.first else { return .object(JSONObject()) }
    let inputs = JSONValue.object(JSONObject(model.inputs.map { (key: $0.name, value: $0.sample) }))
    return models.count == 1 ? inputs : .object(JSONObject([(key: model.name, value: inputs)]))
  }

  /// The models with their versions.
  private var told: String {
    models.map { model in
      guard model.hasVersions else { return model.name }
      let numbers = model.versions.map { String($0.number) }.joined(separator: ", ")
      return
        "\(model.name) (versions \(numbers); \(model.versions.last?.number ?? 1) answers requests that name none)"
    }.joined(separator: ", ")
  }

  /// Exactly one member: a model's name, or `NAME:VERSION`.
  private func byName(_ what: String, of schema: String? = nil) -> JSONValue {
    var properties = JSONObject()
    for model in models {
      for title in model.titles {
        _ = properties.add(
          title, ["$ref": .string("#/components/schemas/\(schema ?? model.prefix + what)")])
      }
    }
    return [
      "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": false,
      "properties": .object(properties),
      "description": "One model by its name, or a version of it as NAME:VERSION.",
    ]
  }

  private func path(folder: String) -> JSONValue {
    [
      "post": [
        "operationId": "execute", "summary": .string("Run a model of \(nodeName) once"),
        "requestBody": [
          "required": true,
          "content": [
            "application/json": [
              "schema": ["$ref": "#/components/schemas/ExecuteRequest"],
              "example": ["folder_id": .string(folder), "input": exampleInput],
            ]
          ],
        ],
        "responses": [
          "200": [
            "description": "The outputs of the model.",
            "content": ["application/json": ["schema": ["$ref": "#/components/schemas/ExecuteAnswer"]]],
          ],
          "default": [
            "description": "A status of google.rpc with its details.",
            "content": ["application/json": ["schema": ["$ref": "#/components/schemas/Status"]]],
          ],
        ],
      ]
    ]
  }

  private static func object(_ fields: [Field], answers: Bool) -> JSONValue {
    var properties = JSONObject()
    for field in fields { _ = properties.add(field.name, field.schema(answers: answers)) }
    let schema: JSONValue = [
      "type": "object", "properties": .object(properties), "additionalProperties": false,
    ]
    let names = fields.map { JSONValue.string($0.name) }
    return names.isEmpty ? schema : schema.adding("required", .array(names))
  }
}

extension ModelNodeContract.Field {
  fileprivate func schema(answers: Bool) -> JSONValue {
    var nested: JSONValue =
      switch datatype {
      case .bool: ["type": "boolean"]
      case .bytes: ["type": "string"]
      // NaN and infinities have no form in JSON.
      case .fp16, .fp32, .fp64: ["type": ["number", "null"]]
      default: ["type": "integer"]
      }
    for length in shape.reversed() {
      nested = ["type": "array", "items": nested]
      if length > 0 {
        nested = nested.adding("minItems", .integer(Int64(length))).adding(
          "maxItems", .integer(Int64(length)))
      } else if !answers {
        nested = nested.adding("minItems", 1)
      }
    }
    let note = JSONValue.string("\(datatype.rawValue)\(InferenceTensor.text(shape)) (-1: any length)")
    guard !answers, let element = datatype.element else { return nested.adding("description", note) }
    let packed: JSONValue = [
      "type": "object", "required": ["dtype", "shape", "data"], "additionalProperties": false,
      "properties": [
        "dtype": ["type": "string", "examples": [.string(element.rawValue)]],
        "shape": ["type": "array", "items": ["type": "integer", "minimum": 0]],
        "data": ["type": "string", "contentEncoding": "base64"],
      ],
    ]
    return ["description": note, "anyOf": [nested, packed]]
  }

  /// The least value that fits; of a large tensor an empty list.
  fileprivate var sample: JSONValue {
    let item: JSONValue =
      switch datatype {
      case .bool: true
      case .bytes: "text"
      case .fp16, .fp32, .fp64: 0.5
      default: 1
      }
    let count = shape.reduce(1) { $0.multipliedReportingOverflow(by: max($1, 1)).partialValue }
    guard (1...65_536).contains(count) else { return [] }
    return shape.reversed().reduce(item) { .array(Array(repeating: $0, count: max($1, 1))) }
  }
}
