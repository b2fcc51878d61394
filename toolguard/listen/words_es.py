"""Spanish."""

from toolguard.listen.numbers import spanish
from toolguard.listen.words import Language

SPANISH = Language(
    code="es",
    phrases={
        "filler": "eh,em,mmm,este,pues,bueno,ah,oh,por favor,oiga,oye,a ver,mire,ya,ahora,entonces,hm",
        "it": "quiero,quisiera,querría,me gustaría,puede,puedes,podría,eso,esto,lo,la,el,los,las,le,un,una,mi,me,"
        "para mí,para,todo,la reserva,reserva,cita,pedido,pago,que,de,"
        "del,con,es,y,yo,nos,a",
        "yes": "sí,si,ok,okay,okey,vale,claro,bien,muy bien,de acuerdo,perfecto,gracias,muchas gracias,ajá,aja,"
        "mm hm,mhm,"
        "entiendo,ya veo,genial,estupendo,está bien,no hay problema,no pasa nada,por supuesto,sí sí,listo,dale,"
        "buenísimo,tranquilo",
        "accept": "sí por favor,adelante,eso es,correcto,es correcto,exacto,así es,hágalo,hazlo",
        "no": "no,no no,nop",
        "decline": "no gracias,eso es todo,nada más,no nada más,no eso es todo",
        "not": "nunca,ni,sin",
        "but": "pero,excepto,salvo,aunque",
        "hold": "espere,espera,un momento,un momentito,un segundo,momento,espérese,espéreme,un minuto,"
        "déjeme pensar,"
        "déjame pensar,déjeme ver,todavía no,aguarde,un ratito",
        "stop": "pare,alto,detente,deténgase,basta,stop",
        "cancel": "cancela,cancele,cancelar,cancélalo,cancélela,cancélelo,cancela eso,olvídalo,olvídelo,olvida eso,"
        "déjalo,déjelo,no importa,no lo haga,no lo hagas,anula,anule,anúlelo,ya no lo quiero,ya no quiero,"
        "da igual",
        "keep": "no cancele,no canceles,no lo cancele,no pare,continúe,continúa,siga,sigue,siga adelante",
        "change": "mejor,en vez de,en lugar de,quise decir,quiero decir,quería decir,cambia,cambie,cámbialo,cámbielo,"
        "cambiar,que sean,que sea,sino,está mal,eso no,no es correcto,me equivoqué,prefiero,preferiría,"
        "en cambio,"
        "ponga,pon,he dicho,dije,póngalo,otro día,cambio de idea,más bien,mueva,muévalo",
        "offer": "qué tal,qué le parece,podría ser,puede ser",
        "also": "también,además,y también,aparte,y además,una cosa más,otra cosa más",
        "topic": "por cierto,otra pregunta,una pregunta,otra cosa,cambiando de tema,a propósito",
        "ask": "qué hora,qué horario,qué es,qué significa,qué incluye,"
        "dónde,cuándo,por qué,quién,cómo,cuánto,cuánta,cuál,a qué hora,hay,tienen,tiene,puede decirme,"
        "me puede decir,puedes decirme,dígame,puedo,cuánto cuesta,está,aceptan",
        "repair": "perdón,perdone,disculpe,cómo dice,qué dijo,puede repetir,repita,hola,sigue ahí,está ahí,me oye,"
        "me escucha,no le oigo,no entendí,no he entendido,me oyes,estás ahí",
        "am": "de la mañana,por la mañana",
        "pm": "de la tarde,de la noche,por la tarde,por la noche",
    },
    numbers=spanish(),
    scales={"cien": 100, "ciento": 100, "mil": 1000},
    articles="un una uno",
    weekdays="lunes martes miércoles jueves viernes sábado domingo",
    months="enero febrero marzo abril mayo junio julio agosto septiembre/setiembre octubre noviembre diciembre",
    today="hoy,mañana,pasado mañana",
    units={
        "people": "personas,persona,gente,comensales,invitados,adultos",
        "nights": "noches,noche",
        "days": "días,día",
        "hours": "hora",
        "minutes": "minutos,minuto",
        "money": "euros,euro,dólares,dólar,pesos,€,$",
        "count": "entradas,boletos,billetes,botellas,habitaciones,mesas,mesa",
    },
    at="a las,a la,sobre las,hacia las,las",
    oclock="en punto,horas,h",
    after={"y media": 30, "y cuarto": 15, "menos cuarto": -15, "y diez": 10, "y veinte": 20, "menos diez": -10,
           "y cinco": 5, "menos cinco": -5, "menos veinte": -20},
    noon="mediodía",
    midnight="medianoche",
    ordinals="de",
)  # fmt: skip
