package org.elasticsearch.node;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.BiConsumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.elasticsearch.script.ScriptContext;
import org.elasticsearch.script.ScriptEngine;
import org.elasticsearch.script.UpdateCtxMap;
import org.elasticsearch.script.UpdateScript;

/**
 * The three scripts that argilla-server 2.8.0 sends, in Java. Any other script is refused: a wrong guess would change the
 * index silently.
 *
 * <p>Its type is "painless", the language that the server's requests name.
 */
final class ArgillaScripts implements ScriptEngine {

    private static final String REMOVE_RESPONSE = "for (int i=ctx._source.responses.length-1; i>=0; i--) {"
        + "if (ctx._source.responses[i].id == params.response.id) {ctx._source.responses.remove(i);}}";
    private static final String PUT_RESPONSE = "if (ctx._source.responses == null) {ctx._source.responses = []}"
        + REMOVE_RESPONSE + "ctx._source.responses.add(params.response)";
    private static final String DELETE_RESPONSE = "if (ctx._source.responses != null) {" + REMOVE_RESPONSE + "}";
    private static final Pattern DELETE_SUGGESTION = Pattern.compile(
        "\\s*ctx\\._source\\[\"suggestions\"\\]\\.remove\\(\"([^\"\\\\]*)\"\\)\\s*"
    );

    @Override
    public String getType() {
        return "painless";
    }

    @Override
    public <F> F compile(String name, String code, ScriptContext<F> context, Map<String, String> options) {
        if (!context.name.equals(UpdateScript.CONTEXT.name)) {
            throw refused("the context " + context.name, code);
        }
        BiConsumer<Map<String, Object>, Map<String, Object>> change = changeOf(code);
        UpdateScript.Factory factory = (params, ctx) -> new Change(params, ctx, change);
        return context.factoryClazz.cast(factory);
    }

    @Override
    public Set<ScriptContext<?>> getSupportedContexts() {
        return Set.of(UpdateScript.CONTEXT);
    }

    private static BiConsumer<Map<String, Object>, Map<String, Object>> changeOf(String code) {
        String bare = bare(code);
        if (bare.equals(bare(PUT_RESPONSE))) {
            return (source, params) -> {
                List<Object> kept = without(source, params);
                kept.add(params.get("response"));
                source.put("responses", kept);
            };
        }
        if (bare.equals(bare(DELETE_RESPONSE))) {
            return (source, params) -> {
                if (source.get("responses") != null) {
                    source.put("responses", without(source, params));
                }
            };
        }
        Matcher suggestion = DELETE_SUGGESTION.matcher(code);
        if (suggestion.matches()) {
            String question = suggestion.group(1);
            return (source, params) -> {
                if (source.get("suggestions") instanceof Map<?, ?> suggestions) {
                    suggestions.remove(question);
                }
            };
        }
        throw refused("this script", code);
    }

    /** The document's responses without the one that has the given response's id. */
    private static List<Object> without(Map<String, Object> source, Map<String, Object> params) {
        Object id = ((Map<?, ?>) params.get("response")).get("id");
        List<Object> kept = new ArrayList<>();
        Object present = source.get("responses");
        // A single response may be in the document without a list around it.
        List<?> responses = present == null ? List.of() : present instanceof List<?> list ? list : List.of(present);
        for (Object response : responses) {
            if (!(response instanceof Map<?, ?> map) || !Objects.equals(map.get("id"), id)) {
                kept.add(response);
            }
        }
        return kept;
    }

    private static String bare(String code) {
        return code.replaceAll("\\s+", "");
    }

    private static IllegalArgumentException refused(String what, String code) {
        return new IllegalArgumentException(
            "the embedded engine knows the update scripts of argilla-server 2.8.0 only, not " + what + ": " + code.strip()
        );
    }

    private static final class Change extends UpdateScript {

        private final BiConsumer<Map<String, Object>, Map<String, Object>> change;

        Change(Map<String, Object> params, UpdateCtxMap ctx, BiConsumer<Map<String, Object>, Map<String, Object>> change) {
            super(params, ctx);
            this.change = change;
        }

        @Override
        public void execute() {
            change.accept(ctxMap.getSource(), getParams());
        }
    }
}
